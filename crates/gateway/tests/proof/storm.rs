//! Crowds of clients before vendors of which some are well.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use simulate::Vendor;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::{
    client::{Connection, Got, PATIENCE, ask, chat},
    house::{House, vendor},
};

/// How long a vendor that is well takes on the average, and how many it is asked at once: what it could do.
const LATENCY: Duration = Duration::from_secs(2);
const WIDTH: usize = 100;
const N_WELL: usize = 2;
/// What a client who is told to come back waits at most, so that there is a storm.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

struct Storm {
    n_clients: usize,
    /// What is counted begins with the second answers and ends before the last second of it.
    lasts: Duration,
    /// The share of what the well vendors could do that must come through.
    goodput: f64,
}

/// What the clients saw.
#[derive(Default)]
struct Seen {
    next: AtomicUsize,
    /// Requests that were answered, by how.
    statuses: Mutex<BTreeMap<u16, usize>>,
    /// When the answers of well vendors came, and to which requests.
    good: Mutex<Vec<(Instant, usize)>>,
    n_hung_up: AtomicUsize,
    is_over: AtomicBool,
    /// What must not be.
    wrong: Mutex<Vec<String>>,
}

/// On a machine that is busy with other things only half of it is demanded; by hand, on a quiet one, all comes through.
#[tokio::test]
async fn a_crowd_before_vendors_of_which_most_fail_gets_one_true_answer_to_each_request() {
    weather(Storm { n_clients: 1_000, lasts: Duration::from_secs(12), goodput: 0.5 }).await;
}

/// `cargo test -p gateway --test proof -- --ignored a_minute`, with `ulimit -n 65536`.
#[tokio::test]
#[ignore = "takes more than a minute, and more files than many machines allow"]
async fn a_minute_of_five_thousand_clients_is_weathered() {
    weather(Storm { n_clients: 5_000, lasts: Duration::from_secs(60), goodput: 0.95 }).await;
}

#[expect(clippy::print_stderr, reason = "whoever runs it by hand wants the figures")]
async fn weather(storm: Storm) {
    let well = json!({ "answer": "echo", "latency": { "uniform": { "from": "1500ms", "to": "2500ms" } }, "remember": 200_000 });
    let well: Vec<Vendor> = (0..N_WELL).map(|_| vendor(&well)).collect();
    let failing = |faults: Value| {
        vendor(&json!({ "latency": { "uniform": { "from": "1500ms", "to": "2500ms" } }, "faults": faults }))
    };
    let kinds =
        ["cut", "half", "reset", "garbage_body", "unavailable", "empty_body", "huge_head", "stall", "error_event"];
    let mixed = kinds.iter().map(|kind| json!({ "kind": kind, "rate": 0.1 })).collect();
    let dying = json!({
        "answer": "echo", "latency": { "uniform": { "from": "1500ms", "to": "2500ms" } }, "later": [{ "at": "3s", "change": { "dead": true } }],
    });
    let ill = [
        ("dead", vendor(&json!({ "dead": true }))),
        ("hanging", failing(json!([{ "kind": "hang", "rate": 1.0 }]))),
        ("throttling", failing(json!([{ "kind": "throttled", "rate": 1.0, "retry_after": "1s" }]))),
        ("mixed", failing(mixed)),
        ("dying", vendor(&dying)),
    ];
    let names = ["well-0", "well-1"];
    let vendors = names.into_iter().zip(&well).chain(ill.iter().map(|(name, vendor)| (*name, vendor)));
    let house = House::new(
        &vendors.collect::<Vec<_>>(),
        json!({
            "every": { "max_in_flight": WIDTH },
            "channel": { "first_byte_timeout": "4s", "idle_timeout": "1s" },
            "gateway": { "queue": { "length": 300, "wait": "5s" } },
        }),
    );
    let seen = Arc::new(Seen::default());
    let began = Instant::now();
    let clients: Vec<_> =
        (0..storm.n_clients).map(|n| tokio::spawn(client(n, house.address, Arc::clone(&seen)))).collect();
    sleep_until(began + storm.lasts).await;
    seen.is_over.store(true, Ordering::Relaxed);
    for client in clients {
        timeout(PATIENCE, client).await.expect("a client hangs").unwrap();
    }

    let wrong = std::mem::take(&mut *seen.wrong.lock().unwrap());
    assert!(
        wrong.is_empty(),
        "{} wrong answers, among them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
    let statuses = seen.statuses.lock().unwrap().clone();
    // Who was given to one that failed while all others were busy hears of that one.
    assert!(statuses.keys().all(|status| matches!(status, 200 | 429 | 502 | 503 | 504)), "{statuses:?}");

    // Who was answered was answered by one vendor, and nobody was answered by two.
    let good = std::mem::take(&mut *seen.good.lock().unwrap());
    let mut n_asked: HashMap<usize, usize> = HashMap::new();
    for vendor in &well {
        for request in vendor.requests() {
            *n_asked.entry(id_in(&request.body)).or_default() += 1;
        }
    }
    assert!(n_asked.values().all(|n| *n == 1), "a request was given to two vendors that are well");
    let answered: HashSet<usize> = good.iter().map(|(_, id)| *id).collect();
    assert_eq!(answered.len(), good.len(), "a request was answered twice");

    let counted = (began + LATENCY + Duration::from_secs(1))..(began + storm.lasts - Duration::from_secs(1));
    let n_good = good.iter().filter(|(at, _)| counted.contains(at)).count();
    let could = (counted.end - counted.start).as_secs_f64() / LATENCY.as_secs_f64() * (WIDTH * N_WELL) as f64;
    let n_hung_up = seen.n_hung_up.load(Ordering::Relaxed);
    eprintln!("{n_good} of {could:.0} that the well vendors could answer; {statuses:?}; {n_hung_up} clients hung up");
    assert!(n_good as f64 >= storm.goodput * could, "{n_good} of {could:.0}");

    // Clients that hung up called off what was under way, and nothing is left of it.
    assert!(well.iter().map(|vendor| vendor.counts().hung_up).sum::<u64>() > 0);
    let is_quiet = async {
        while well.iter().any(|vendor| vendor.counts().in_flight > 0) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, is_quiet).await.expect("what was called off ends");
    for id in 0..10 {
        assert_eq!(ask(house.address, "/v1/chat/completions", "", &chat("well-0", id, false)).await.status, 200);
    }
}

/// Asks one thing after the other until the storm is over.
async fn client(number: usize, address: SocketAddr, seen: Arc<Seen>) {
    let mut connection = None;
    while !seen.is_over.load(Ordering::Relaxed) {
        let id = seen.next.fetch_add(1, Ordering::Relaxed);
        let is_stream = number.is_multiple_of(10);
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(address).await.expect("the gateway takes whoever comes"),
        };
        if number % 50 == 1 {
            // An impatient one.
            let body = chat("auto", id, is_stream);
            let _ = open.send("/v1/chat/completions", "", &body).await;
            let _ = timeout(Duration::from_millis(200), open.answer()).await;
            seen.n_hung_up.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(100)).await;
            continue;
        }
        match open.ask("/v1/chat/completions", "", &chat("auto", id, is_stream)).await {
            Ok(got) => {
                *seen.statuses.lock().unwrap().entry(got.status).or_default() += 1;
                let wait = judge(&got, id, is_stream, &seen);
                connection = got.header("connection").is_none_or(|how| how != "close").then_some(open);
                sleep(wait).await;
            }
            Err(e) => seen.wrong.lock().unwrap().push(format!("{id}: no answer: {e}")),
        }
    }
}

/// Looks whether an answer is true, and returns how long it asks to wait.
fn judge(got: &Got, id: usize, is_stream: bool, seen: &Seen) -> Duration {
    let text = got.text();
    let wrong = |what: &str| seen.wrong.lock().unwrap().push(format!("{id}: {what}: {}{text}", got.head));
    if !got.is_whole {
        wrong("half an answer");
    }
    if got.status != 200 {
        let is_shaped = got.json()["error"]["message"].is_string();
        let wait = got.header("retry-after").and_then(|wait| wait.parse().ok());
        return match wait {
            Some(seconds @ 1..) if is_shaped => Duration::from_secs(seconds).min(LONGEST_WAIT),
            _ => {
                wrong("no word of when to come back");
                LONGEST_WAIT
            }
        };
    }
    let said = if is_stream {
        said(&text)
    } else {
        got.json()["choices"][0]["message"]["content"].as_str().unwrap_or("").to_owned()
    };
    let is_cut = is_stream && !text.contains("data: [DONE]");
    if is_cut && !text.contains("\"error\"") {
        wrong("a stream that is cut without a word");
    } else if !is_cut && got.header("x-tidemill-model") != Some("mixed") && !said.starts_with(&format!("request-{id}-"))
    {
        wrong("another's answer");
    }
    let is_wells = got.header("x-tidemill-model").is_some_and(|model| model.starts_with("well"));
    if is_cut && is_wells {
        wrong("cut, by one that is well");
    }
    if is_wells {
        seen.good.lock().unwrap().push((Instant::now(), id));
    }
    Duration::ZERO
}

/// Joins the words of a stream.
fn said(text: &str) -> String {
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let read = events.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    read.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

fn id_in(body: &str) -> usize {
    let (_, rest) = body.split_once("request-").expect("one of ours");
    rest.split('-').next().and_then(|id| id.parse().ok()).expect("one of ours")
}
