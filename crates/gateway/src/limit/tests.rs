use std::time::Duration;

use provider::Left;

use super::*;

fn limits(per_second: Option<f64>, per_minute: Option<f64>, tokens: Option<f64>) -> RateLimits {
    let [requests_per_second, requests_per_minute, tokens_per_minute] =
        [per_second, per_minute, tokens].map(|rate| rate.map(Rate));
    RateLimits { requests_per_second, requests_per_minute, tokens_per_minute }
}

fn answered(tokens: Option<u64>) -> Seen {
    Seen { how: How::Answered, first_byte: None, output_tokens: None, tokens }
}

const WIDE: MaxInFlight = MaxInFlight::Fixed(1_000);

#[tokio::test(start_paused = true)]
async fn a_width_is_full_until_one_ends_however_it_ends() {
    let now = Instant::now();
    let mut limit = Limit::new(MaxInFlight::Fixed(2), &RateLimits::default(), now);
    let need = Need::default();
    let one = limit.take(need, now);
    assert_eq!(limit.room(need, now), Room::Free);
    let other = limit.take(need, now);
    assert_eq!((limit.room(need, now), limit.width()), (Room::Full, (2, 2)));
    limit.ended(&one, &Seen { how: How::Cancelled, ..answered(None) }, now);
    assert_eq!(limit.room(need, now), Room::Free);
    limit.ended(&other, &answered(None), now);
    assert_eq!(limit.width(), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_slowest_of_the_rates_decides() {
    let now = Instant::now();
    let mut limit = Limit::new(WIDE, &limits(Some(10.0), Some(30.0), None), now);
    let mut at = now;
    for _ in 0..40 {
        at = match limit.room(Need::default(), at) {
            Room::Free => at,
            Room::At(later) => later,
            Room::Full => panic!("full"),
        };
        limit.take(Need::default(), at);
    }
    // Twenty at once, ten more within a second; those of the minute are used up then, and half of one a second runs in.
    assert_eq!((at - now).as_secs(), 20);
    assert!((limit.allowed() - 0.5).abs() < 1e-9 && (limit.pace() - 0.5).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn what_answers_use_beyond_the_estimate_is_learned_and_what_was_not_used_is_given_back() {
    let now = Instant::now();
    let mut limit = Limit::new(WIDE, &limits(None, None, Some(6_000.0)), now);
    let need = Need { tokens: 100, ..Need::default() };
    for _ in 0..40 {
        let taken = limit.take(need, now);
        limit.ended(&taken, &answered(Some(150)), now);
    }
    // All of the minute is used, and not a token more: the next one waits for its own 150.
    let Room::At(at) = limit.room(need, now) else { panic!("room beyond the limit") };
    assert!(((at - now).as_secs_f64() - 1.5).abs() < 0.01, "{:?}", at - now);
    // One that was turned away used nothing, and one of whose usage nothing is known used the estimate.
    let at = now + Duration::from_mins(1);
    let taken = limit.take(Need { tokens: 5_950, ..Need::default() }, at);
    assert!(matches!(limit.room(need, at), Room::At(_)));
    limit.ended(&taken, &Seen { how: How::Throttled, ..answered(None) }, at);
    assert_eq!(limit.room(need, at), Room::Free);
    let taken = limit.take(Need { tokens: 5_950, ..Need::default() }, at);
    limit.ended(&taken, &answered(None), at);
    assert!(matches!(limit.room(need, at), Room::At(_)));
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_has_less_left_than_is_configured_is_believed_and_one_that_has_more_is_not() {
    let now = Instant::now();
    let mut limit = Limit::new(WIDE, &limits(Some(1.0), None, None), now);
    let left = |remaining| Left { limit: Some(1e6), remaining, reset: Some(Duration::from_secs(60)) };
    let hints = |remaining| Hints { requests: Some(left(remaining)), ..Hints::default() };
    limit.hint(&hints(1e6), now);
    limit.take(Need::default(), now);
    limit.take(Need::default(), now);
    let Room::At(at) = limit.room(Need::default(), now) else { panic!("more than is configured") };
    assert_eq!((at - now).as_millis(), 1_000);
    limit.hint(&hints(4.0), now + Duration::from_secs(10));
    limit.take(Need::default(), now + Duration::from_secs(10));
    let Room::At(at) = limit.room(Need::default(), now + Duration::from_secs(10)) else { panic!("too much at once") };
    assert!((at - now).as_secs() > 20, "{:?}", at - now);
}
