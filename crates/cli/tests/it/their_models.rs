//! `tidemill run` with AI-DataFlux's own `config.yaml` as its models file: each key of its models and channels is
//! followed, as the vendor can see, or named in a warning.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;
use simulate::{Fault, FaultKind, Script};

use crate::story::{Pipeline, Ran, Story, records};

/// Runs over so many records with these models and this channel, which is called 1; `{vendor}` stands for the vendor's
/// host and port, and `{port}` for its port.
struct Theirs {
    story: Story,
    ran: Ran,
    took: Duration,
}

impl Theirs {
    fn run(n: u64, models: &[&str], channel: &str) -> Self {
        Self::with(n, models, channel, Script::default(), "")
    }

    fn with(n: u64, models: &[&str], channel: &str, script: Script, prompt: &'static str) -> Self {
        let script = Script { remember: 1_000, ..script };
        let story = Story::with(records(n), script, &Pipeline { prompt, ..Pipeline::default() });
        story.write("pipeline.yaml", story.text("pipeline.yaml").replace("models: models.yaml", "models: config.yaml"));
        let address = story.vendor.address();
        let channel = channel.replace("{vendor}", &address.to_string()).replace("{port}", &address.port().to_string());
        let models: String = models.iter().map(|model| format!("  - {{ {model} }}\n")).collect();
        story.write("config.yaml", format!("channels:\n  \"1\": {{ {channel} }}\nmodels:\n{models}"));
        let begun = Instant::now();
        let ran = story.run([]);
        Self { took: begun.elapsed(), story, ran }
    }

    #[track_caller]
    fn is_done(&self, said: &[&str]) -> &Self {
        self.ran.says(0, said);
        self
    }

    /// The bodies that the vendor was sent.
    fn bodies(&self) -> Vec<Value> {
        let requests = self.story.vendor.requests();
        requests.iter().map(|request| serde_json::from_str(&request.body).expect("a body is JSON")).collect()
    }

    /// How often each model was asked for, by the vendor's name of it.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for body in self.bodies() {
            *asked.entry(body["model"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        asked
    }
}

const CHANNEL: &str = "name: c, base_url: \"http://{vendor}\"";
const MODEL: &str = "id: 1, name: first, model: gpt-theirs, channel_id: \"1\", safe_rps: 1000";

#[test]
fn key_name_temperature_and_path_are_what_the_vendor_sees() {
    let script = || Script { require_key: Some("sk-theirs".to_owned()), ..Script::default() };
    let model = format!("{MODEL}, api_key: sk-theirs, temperature: 0.25");
    for channel in [
        CHANNEL,
        "base_url: \"http://{vendor}\", api_path: /v1/chat/completions",
        "base_url: \"http://{vendor}/v1\", api_path: /chat/completions",
    ] {
        let theirs = Theirs::with(5, &[&model], channel, script(), "");
        theirs.is_done(&["5 succeeded"]);
        assert!(theirs.story.vendor.requests().iter().all(|request| request.path == "/v1/chat/completions"));
        for body in theirs.bodies() {
            assert_eq!((&body["model"], &body["temperature"]), (&"gpt-theirs".into(), &0.25.into()), "{body}");
        }
        theirs.ran.does_not_say("sk-theirs");
    }
    // What the pipeline says itself counts more.
    let theirs = Theirs::with(3, &[&model], CHANNEL, script(), "parameters: { temperature: 1 }");
    theirs.is_done(&[]);
    assert!(theirs.bodies().iter().all(|body| body["temperature"] == 1), "{:?}", theirs.bodies());
    // And where nobody says one, theirs is 0.7.
    let theirs = Theirs::run(3, &[MODEL], CHANNEL);
    theirs.is_done(&[]);
    assert!(theirs.bodies().iter().all(|body| body["temperature"] == 0.7), "{:?}", theirs.bodies());
}

#[test]
fn id_name_and_the_vendors_name_are_names_that_a_prompt_may_ask_for() {
    let other = "id: 2, name: second, model: gpt-other, channel_id: 1, safe_rps: 1000, weight: 0";
    for (prompt, asked) in [
        ("model: \"2\"", "gpt-other"),
        ("model: second", "gpt-other"),
        ("model: gpt-other", "gpt-other"),
        ("model: first", "gpt-theirs"),
        ("model: auto", "gpt-theirs"),
    ] {
        let theirs = Theirs::with(4, &[MODEL, other], CHANNEL, Script::default(), prompt);
        theirs.is_done(&["4 succeeded"]);
        assert_eq!(theirs.asked(), BTreeMap::from([(asked.to_owned(), 4)]), "{prompt}");
    }
}

#[test]
fn weights_share_the_records_and_one_without_weight_gets_none() {
    let models = [
        "id: 1, model: light, channel_id: \"1\", weight: 10, safe_rps: 1000",
        "id: 2, model: heavy, channel_id: \"1\", weight: 30, safe_rps: 1000",
        "id: 3, model: none, channel_id: \"1\", weight: 0, safe_rps: 1000",
    ];
    let theirs = Theirs::run(200, &models, CHANNEL);
    theirs.is_done(&["200 succeeded"]);
    let asked = theirs.asked();
    // A quarter of 200, give or take what is drawn once in ten million times.
    assert!((20..=85).contains(&asked["light"]) && !asked.contains_key("none"), "{asked:?}");
}

#[test]
fn a_pace_is_kept() {
    let theirs = Theirs::run(20, &["id: 1, model: m, channel_id: \"1\", safe_rps: 5"], CHANNEL);
    theirs.is_done(&["20 succeeded"]);
    // Ten are saved up, and five come back each second.
    assert!(theirs.took >= Duration::from_millis(1_800), "{:?}", theirs.took);
}

#[test]
fn the_shorter_of_two_time_limits_ends_what_hangs() {
    let hangs =
        || Script { faults: vec![Fault { asks: Some(1), ..Fault::new(FaultKind::Hang, 1.0) }], ..Script::default() };
    let model = format!("{MODEL}, timeout: 1");
    let channel = format!("{CHANNEL}, timeout: 1");
    for (model, channel) in [(&*model, CHANNEL), (MODEL, &*channel)] {
        let theirs = Theirs::with(2, &[model], channel, hangs(), "");
        theirs.is_done(&["2 succeeded"]);
        assert!((1..20).contains(&theirs.took.as_secs()), "{:?}", theirs.took);
        assert_eq!(theirs.story.asked(), 4, "each was asked again");
    }
}

#[test]
fn addresses_of_a_pool_are_used_instead_of_the_name() {
    let channel = "base_url: \"http://vendor.invalid:{port}\", ip_pool: [127.0.0.1]";
    Theirs::run(3, &[MODEL], channel).is_done(&["3 succeeded"]);
}

#[test]
fn a_schema_is_left_out_where_their_model_is_said_to_take_none() {
    let format = |more: &str| {
        let theirs = Theirs::run(2, &[&format!("{MODEL}{more}")], CHANNEL);
        theirs.is_done(&["2 succeeded"]);
        theirs.bodies()[0]["response_format"]["type"].clone()
    };
    assert_eq!(format(", supports_json_schema: true"), "json_schema");
    assert_eq!(format(""), "json_schema");
    assert_eq!(format(", supports_json_schema: false"), "json_object");
}

#[test]
fn what_is_not_followed_is_named_with_its_line() {
    for (model, channel, said) in [
        (", wieght: 3", "", ["wieght", "--> config.yaml:4:"]),
        ("", ", proxi: x", ["proxi", "--> config.yaml:2:"]),
        (", supports_advanced_params: false", "", ["presence_penalty", "--> config.yaml:4:"]),
        (", weight: 2.5", "", ["2.5 counts as 3", "--> config.yaml:4:"]),
        (", api_key: \"${KEY}\"", "", ["variables are not put in", "--> config.yaml:4:"]),
        ("", ", ssl_verify: perhaps", ["ssl_verify", "--> config.yaml:2:"]),
        ("", ", ip_pool: [nowhere]", ["nowhere", "--> config.yaml:2:"]),
    ] {
        Theirs::run(2, &[&format!("{MODEL}{model}")], &format!("{CHANNEL}{channel}")).is_done(&said);
    }
    // An entry that cannot be used is left out with a word, and the others go on.
    let lost = "id: 2, model: m, channel_id: \"9\"";
    Theirs::run(2, &[MODEL, lost], CHANNEL).is_done(&["there is no channel `9`", "left out", "--> config.yaml:5:"]);
}

/// Nothing is told of a proxy but that the way goes through it: that the run stops there shows that it is taken.
#[test]
fn a_proxy_is_on_the_way() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).unwrap();
    let channel = format!("{CHANNEL}, proxy: \"http://{dead}\"");
    let story = Story::of(records(2));
    let address = story.vendor.address().to_string();
    story.write("pipeline.yaml", story.text("pipeline.yaml").replace("models: models.yaml", "models: config.yaml"));
    story.write(
        "config.yaml",
        format!("channels:\n  \"1\": {{ {} }}\nmodels:\n  - {{ {MODEL} }}\n", channel.replace("{vendor}", &address)),
    );
    let mut running = story.start([]);
    running.until_it_says("through the proxy");
    running.kill();
    assert_eq!(story.asked(), 0);
}
