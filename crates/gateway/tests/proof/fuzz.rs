//! A fuzzer reads the gateway's own description of itself, and asks what it allows and what it does not.

use std::process::Command;

use serde_json::json;

use crate::{
    house::{House, KEY, vendor},
    sdk::{is_left_out, tools},
};

/// How long it may ask, in seconds. It is no more where less is to be found.
const BUDGET: &str = "30";

#[test]
#[expect(clippy::disallowed_methods, reason = "the fuzzer is another program")]
fn the_gateway_keeps_to_its_own_description_whatever_it_is_asked() {
    let program = tools().join("schemathesis/bin/schemathesis");
    if is_left_out(&program) {
        return;
    }
    let vendor = vendor(&json!({ "require_key": KEY }));
    let keys = json!([{ "name": "team", "key": { "env": "KEY" } }]);
    let house = House::new(&[("plain", &vendor)], json!({ "gateway": { "keys": keys, "body_limit": "1MB" } }));
    let folder = std::env::temp_dir().join(format!("gateway-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let output = Command::new(program)
        .current_dir(&folder)
        .args(["run", &format!("http://{}/openapi.json", house.address)])
        .args(["--header", &format!("Authorization: Bearer {KEY}")])
        // What is passed on is the vendor's to judge: it may take what the document does not know, and refuse the rest.
        .args(["--exclude-checks", "positive_data_acceptance,negative_data_rejection"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-time", BUDGET, "--request-timeout", "10"])
        .args(["--max-examples", "60", "--seed", "1", "--no-color", "--warnings", "off"])
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{said}");
    // It may also succeed because it could ask nothing.
    assert!(said.contains("passed"), "{said}");
    assert!(vendor.counts().asked > 0);
}
