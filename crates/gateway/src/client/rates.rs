//! The proof of the rates: three models of 5, 3 and 10 requests per second, a hundred that want to ask, and a vendor who
//! is well. Nobody fails, no stretch of time sees more than is allowed, and almost all of what is allowed is used.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::{
    BoxFuture,
    ports::{Ask, Class, ModelClient, ModelRequest, Reservation, Reserve},
};
use provider::{Failed, Question, Replied};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::{
    Forward, Gateway, ModelsFile,
    lanes::{Answered, Lanes},
    need::Need,
    queue::{Asking, Queue},
    resolve,
};

const RATES: [f64; 3] = [5.0, 3.0, 10.0];
const LASTS: Duration = Duration::from_secs(60);

/// A vendor who is well, and keeps a book.
#[derive(Default)]
struct Vendor(Mutex<Vec<(usize, Instant)>>);

impl Vendor {
    async fn ask(&self, upstream: usize) {
        self.0.lock().unwrap().push((upstream, Instant::now()));
        // Not in step with anything.
        let n = self.0.lock().unwrap().len() as u64;
        sleep(Duration::from_millis(300 + n * 7_919 % 700)).await;
    }

    fn check(&self, begin: Instant) {
        let book = self.0.lock().unwrap();
        for (upstream, rate) in RATES.iter().enumerate() {
            let sent: Vec<Instant> = book.iter().filter(|(asked, _)| *asked == upstream).map(|(_, at)| *at).collect();
            for (n, from) in sent.iter().enumerate() {
                for (m, to) in sent.iter().enumerate().skip(n) {
                    let allowed = 2.0 * rate + rate * (*to - *from).as_secs_f64();
                    let seen = (m - n + 1) as f64;
                    assert!(seen <= allowed + 1e-3, "{upstream}: {seen} of {allowed} within {:?}", *to - *from);
                }
            }
        }
        let used = book.iter().filter(|(_, at)| *at < begin + LASTS).count() as f64;
        let allowed = RATES.iter().sum::<f64>() * LASTS.as_secs_f64();
        assert!(used >= 0.95 * allowed, "{used} of {allowed}");
    }
}

impl Forward for Arc<Vendor> {
    fn forward<'a>(&'a self, upstream: usize, _: Question<'a>) -> BoxFuture<'a, Result<Replied, Failed>> {
        Box::pin(async move {
            self.ask(upstream).await;
            Ok(Replied { body: "{}".into(), request_id: None, hints: None })
        })
    }
}

fn resolved() -> crate::Resolved {
    let model = |(n, rate): (usize, &f64)| json!({ "name": format!("m{n}"), "channel": "c", "limits": { "requests_per_second": rate } });
    let models: Vec<_> = RATES.iter().enumerate().map(model).collect();
    let file = json!({ "channels": { "c": { "url": "http://h/v1" } }, "models": models });
    let file: ModelsFile = serde_json::from_value(file).unwrap();
    resolve(&file, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_hundred_in_flight_use_the_rates_of_three_models_through_the_engines_port_and_none_fails() {
    let vendor = Arc::new(Vendor::default());
    let gateway = Arc::new(Gateway::with_forward(&resolved(), Arc::new(Arc::clone(&vendor)), 7));
    let begin = Instant::now();
    let asks = (0..100).map(|_| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            while begin.elapsed() < LASTS {
                let deadline = (Instant::now() + LASTS).into_std();
                let freed = gateway.width_freed();
                match gateway.reserve(&Reservation { route: "auto", tokens: 100, class: Class::Normal, deadline }) {
                    Reserve::Permit(permit) => {
                        let body = "{}".into();
                        let request = ModelRequest { ask: Ask::Chat, route: "auto".into(), body, deadline };
                        gateway.complete(request, permit).await.unwrap();
                    }
                    // As the engine does it: until then, or until somebody is through.
                    Reserve::NotBefore(wait) => match wait.at {
                        Some(at) => drop(timeout_at(at.into(), freed).await),
                        None => freed.await,
                    },
                    Reserve::Closed(failure) => panic!("{failure}"),
                }
            }
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    vendor.check(begin);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_in_flight_use_the_rates_of_three_models_from_the_waiting_line_and_none_fails() {
    let vendor = Arc::new(Vendor::default());
    let queue = Queue::new(Arc::new(Lanes::new(&resolved(), 7)), 1_000, Duration::from_mins(1));
    let begin = Instant::now();
    let asks = (0..100_u64).map(|n| {
        let (queue, vendor) = (Arc::clone(&queue), Arc::clone(&vendor));
        tokio::spawn(async move {
            // They do not come all at the same moment.
            sleep_until(begin + Duration::from_millis(n)).await;
            while begin.elapsed() < LASTS {
                let (need, deadline) = (Need { tokens: 100, ..Need::default() }, Instant::now() + LASTS);
                let asking = Asking::first("auto", Class::Normal, n % 7, need, deadline);
                let place = queue.enter(&asking).await.unwrap();
                vendor.ask(place.upstream).await;
                place.tell(Ok(Answered::default()));
            }
        })
    });
    for ask in asks.collect::<Vec<_>>() {
        ask.await.unwrap();
    }
    vendor.check(begin);
}
