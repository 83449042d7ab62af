//! How many connections the system lets us have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::talk;

/// Each client takes a connection, and one to a vendor while it is answered.
const ENOUGH: u64 = 4_096;

/// Takes as many open files as the system gives, and warns where these are few.
pub(super) fn make() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Some systems name no limit and then refuse it; what there was stays.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    if let Some(n) = getrlimit(Resource::Nofile).current.filter(|n| *n < ENOUGH) {
        talk::say(format!(
            "warning: this process may have only {n} connections and files open at a time, and each client takes up to two; \
             raise that before it starts: `ulimit -n 65536` as root, or `LimitNOFILE=65536` in its systemd unit"
        ));
    }
}
