use http::{HeaderName, HeaderValue};

use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp(784_111_777_000);

/// Mon, 20 Oct 2025 00:00:00 GMT.
const LATER: Timestamp = Timestamp(1_760_918_400_000);

fn read_at(now: Timestamp, headers: &[(&'static str, &'static str)], refusal: Option<&str>) -> Hints {
    let value = |v: &str| HeaderValue::from_bytes(v.as_bytes()).unwrap();
    let map = headers.iter().map(|(n, v)| (HeaderName::from_static(n), value(v))).collect();
    Hints::read(&map, refusal.map(str::as_bytes), || now)
}

/// What to wait, of an answer and of a refusal without words.
fn check(headers: &[(&'static str, &'static str)], expected_ms: Option<u64>) {
    let expected = expected_ms.map(Duration::from_millis);
    assert_eq!(read_at(NOW, headers, None).retry_after, expected, "{headers:?}");
    assert_eq!(read_at(NOW, headers, Some("")).retry_after, expected, "{headers:?}");
}

fn left(limit: impl Into<Option<f64>>, remaining: f64, reset_ms: impl Into<Option<u64>>) -> Option<Left> {
    Some(Left { limit: limit.into(), remaining, reset: reset_ms.into().map(Duration::from_millis) })
}

#[test]
fn every_form_of_a_wait_is_understood() {
    check(&[], None);
    check(&[("retry-after", "2")], Some(2_000));
    check(&[("retry-after", " 0.25 ")], Some(250));
    check(&[("retry-after", "0")], Some(0));
    check(&[("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], Some(3_000));
    check(&[("retry-after", "Sunday, 06-Nov-94 08:49:40 GMT")], Some(3_000));
    check(&[("retry-after", "Sun Nov  6 08:49:40 1994")], Some(3_000));
    check(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0));
    check(&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1_500));
    check(&[("retry-after", "2"), ("x-ms-retry-after-ms", "1234")], Some(1_234));
    check(&[("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "6m0s")], Some(360_000));
    let both = [
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "20ms"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "1h0m3.5s"),
    ];
    check(&both, Some(3_603_500));
    check(&[("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", "1s")], None);
}

#[test]
fn a_moment_is_counted_from_the_time_that_it_is_at_the_vendor() {
    let date = ("date", "Mon, 20 Oct 2025 00:00:00 GMT");
    let retry = ("retry-after", "Mon, 20 Oct 2025 00:00:05 GMT");
    // Ours is an hour and a day before it, the same, and an hour and a day behind.
    for ours in [-86_400_000, -3_600_000, 0, 3_600_000, 86_400_000] {
        let now = Timestamp(LATER.0.checked_add_signed(ours).unwrap());
        assert_eq!(read_at(now, &[retry, date], Some("")).retry_after, Some(Duration::from_secs(5)), "{ours}");
        let reset = ("anthropic-ratelimit-requests-reset", "2025-10-20T00:00:05Z");
        let hints = read_at(now, &[("anthropic-ratelimit-requests-remaining", "0"), reset, date], None);
        assert_eq!(hints.retry_after, Some(Duration::from_secs(5)), "{ours}");
    }
    assert_eq!(read_at(LATER, &[retry, ("date", "soon")], Some("")).retry_after, Some(Duration::from_secs(5)));
}

#[test]
fn nonsense_is_no_wait_and_no_wait_is_longer_than_a_day() {
    for text in ["", "-1", "soon", "NaN", "1s", "Sun, 99 Nov 1994 08:49:40 GMT", "\u{e9}"] {
        check(&[("retry-after", text)], None);
    }
    for text in ["", "s", "1y", "1s2", "2025-10-20Tnow"] {
        check(&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", text)], None);
    }
    check(&[("retry-after", "1e300")], Some(86_400_000));
    check(&[("retry-after", "inf")], Some(86_400_000));
    check(&[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")], Some(86_400_000));
    check(&[("retry-after-ms", "x"), ("retry-after", "1")], Some(1_000));
    let much = read_at(NOW, &[("x-ratelimit-remaining-tokens", "-3"), ("x-ratelimit-reset-tokens", "40d")], None);
    assert_eq!((much.tokens, much.retry_after), (None, None), "less than nothing is no number of tokens");
    let long = read_at(NOW, &[("x-ratelimit-remaining-tokens", "3"), ("x-ratelimit-reset-tokens", "40d")], None);
    assert_eq!(long.tokens, left(None, 3.0, 86_400_000));
}

#[test]
fn what_is_left_is_read_in_every_vendors_spelling() {
    let check = |headers: &[(&'static str, &'static str)], requests: Option<Left>, tokens: Option<Left>| {
        let hints = read_at(LATER, headers, None);
        assert_eq!((hints.requests, hints.tokens), (requests, tokens), "{headers:?}");
    };
    // OpenAI's, Azure's and Groq's.
    let openai = [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-remaining-tokens", "149984"),
        ("x-ratelimit-reset-requests", "1s"),
        ("x-ratelimit-reset-tokens", "6m0s"),
    ];
    check(&openai, left(60.0, 59.0, 1_000), left(150_000.0, 149_984.0, 360_000));
    // Anthropic's; of the tokens the fewest count.
    let anthropic = [
        ("anthropic-ratelimit-requests-limit", "50"),
        ("anthropic-ratelimit-requests-remaining", "49"),
        ("anthropic-ratelimit-requests-reset", "2025-10-20T00:00:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "40000"),
        ("anthropic-ratelimit-input-tokens-remaining", "39000"),
        ("anthropic-ratelimit-input-tokens-reset", "2025-10-20T00:00:02.5Z"),
        ("anthropic-ratelimit-output-tokens-limit", "8000"),
        ("anthropic-ratelimit-output-tokens-remaining", "7000"),
        ("anthropic-ratelimit-output-tokens-reset", "2025-10-20T02:00:07+02:00"),
    ];
    check(&anthropic, left(50.0, 49.0, 1_000), left(8_000.0, 7_000.0, 7_000));
    // Cerebras': per minute and per day, in seconds.
    let cerebras = [
        ("x-ratelimit-limit-requests-day", "1000"),
        ("x-ratelimit-remaining-requests-day", "990"),
        ("x-ratelimit-reset-requests-day", "33011.382867"),
        ("x-ratelimit-limit-tokens-minute", "60000"),
        ("x-ratelimit-remaining-tokens-minute", "0"),
        ("x-ratelimit-reset-tokens-minute", "11.5"),
    ];
    let day = Left { limit: Some(1_000.0), remaining: 990.0, reset: Some(Duration::from_secs_f64(33_011.382_867)) };
    check(&cerebras, Some(day), left(60_000.0, 0.0, 11_500));
    // Mistral's.
    let mistral = [("x-ratelimit-limit-req-minute", "720"), ("x-ratelimit-remaining-req-minute", "717")];
    check(&mistral, left(720.0, 717.0, None), None);
    // The draft's, and those who write a moment under the same name: seconds, or milliseconds, since 1970.
    let ietf = [("ratelimit-limit", "100"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "30")];
    check(&ietf, left(100.0, 50.0, 30_000), None);
    check(&[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1760918405")], left(None, 5.0, 5_000), None);
    check(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1760918405250")], left(None, 0.0, 5_250), None);
    // The draft's one header, newer and older.
    check(&[("ratelimit", "\"minute\";r=50;t=30, \"day\";r=9;t=99")], left(None, 50.0, 30_000), None);
    check(&[("ratelimit", "limit=100, remaining=7, reset=3")], left(100.0, 7.0, 3_000), None);
    // Together's.
    let together = [("x-tokenlimit-limit", "9000"), ("x-tokenlimit-remaining", "8000")];
    check(&together, None, left(9_000.0, 8_000.0, None));
    // A limit of which nothing is said to be left says nothing.
    check(&[("x-ratelimit-limit-requests", "60"), ("x-ratelimit-used-requests", "1")], None, None);
}

#[test]
fn a_refusal_may_tell_the_wait_in_words() {
    let check = |body: &str, expected_ms: Option<u64>| {
        let hints = read_at(NOW, &[], Some(body));
        assert_eq!(hints.retry_after, expected_ms.map(Duration::from_millis), "{body}");
    };
    check(
        "{\"error\":{\"message\":\"Rate limit reached for m on tokens per min. Please try again in 1.2s. Visit\"}}",
        Some(1_200),
    );
    check("Please try again in 6m0s.", Some(360_000));
    check("Please try again in 20ms. Visit https://example.com", Some(20));
    check("please try again in 7m12.345s", Some(432_345));
    check("Please retry after 20 seconds. To increase your limit", Some(20_000));
    check("Retry after 1 second", Some(1_000));
    check("try again in 1 minute 30 seconds", Some(90_000));
    check(
        "{\"error\":{\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\": \"34s\"}]}}",
        Some(34_000),
    );
    check("You exceeded your quota. Please retry in 34.07s.", Some(34_070));
    check("Please try again after some time, at best try again in 5s", Some(5_000));
    check("请求过于频繁，请在 20 秒后重试。", Some(20_000));
    check("请20秒后再试", Some(20_000));
    for nothing in
        ["", "Please try again later", "try again in a moment", "try again in 5 parsecs", "请稍后重试", "retry in"]
    {
        check(nothing, None);
    }
    let far = format!("{}try again in 5s", "é".repeat(READ_PAST));
    check(&far, None);
}

/// More than of any refusal is read.
const READ_PAST: usize = 20_000;

#[test]
fn the_clearest_statement_of_a_wait_wins() {
    let spent =
        [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "60s"), ("x-ogw-ratelimit-reset", "7")];
    let body = "Please try again in 1.2s";
    assert_eq!(read_at(NOW, &spent, Some(body)).retry_after, Some(Duration::from_millis(1_200)), "words before resets");
    assert_eq!(read_at(NOW, &spent, Some("")).retry_after, Some(Duration::from_secs(7)), "a refusal's own reset");
    assert_eq!(read_at(NOW, &spent, None).retry_after, Some(Duration::from_secs(60)), "which an answer's is not");
    let told = [spent[0], spent[1], ("retry-after", "3")];
    assert_eq!(read_at(NOW, &told, Some(body)).retry_after, Some(Duration::from_secs(3)), "headers before words");
}

#[test]
fn other_headers_tell_nothing() {
    let headers = [
        ("content-type", "application/json"),
        ("x-request-id", "0"),
        ("x-robots-tag", "0"),
        ("referrer-policy", "0"),
        ("ratelimit-policy", "100;w=60"),
        ("x-ratelimit-limit-images", "1"),
        ("anthropic-ratelimit-remaining", "0"),
        ("anthropic-organization-id", "0"),
        ("age", "1"),
    ];
    assert!(read_at(NOW, &headers, None).is_empty());
}
