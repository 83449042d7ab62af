//! What a request makes of the user's wish.

use engine::Control;
use tokio::sync::watch;

use super::protocol::Verb;

/// Turns `verb` into a wish, and returns whether it is a new one.
///
/// # Errors
/// Where the run is past that: a run that stops does not pause any more.
pub(super) fn make(control: &watch::Sender<Control>, verb: Verb) -> Result<bool, &'static str> {
    let mut refused = None;
    let is_new = control.send_if_modified(|wish| match after(*wish, verb) {
        Ok(next) => std::mem::replace(wish, next) != next,
        Err(why) => {
            refused = Some(why);
            false
        }
    });
    refused.map_or(Ok(is_new), Err)
}

fn after(wish: Control, verb: Verb) -> Result<Control, &'static str> {
    match (verb, wish) {
        (Verb::Status | Verb::Watch, wish) => Ok(wish),
        (Verb::Pause, Control::Run | Control::Pause) => Ok(Control::Pause),
        (Verb::Unpause, Control::Run | Control::Pause) => Ok(Control::Run),
        (Verb::Cancel, Control::Run | Control::Pause | Control::Cancel) => Ok(Control::Cancel),
        (Verb::Stop, Control::Run | Control::Pause | Control::Drain) => Ok(Control::Drain),
        // Stopping at once is for the terminal of the run, where a second Ctrl-C says so.
        (Verb::Stop, Control::Stop) => Ok(Control::Stop),
        (_, Control::Cancel) => Err("the run is being cancelled"),
        (_, Control::Drain | Control::Stop) => Err("the run is stopping"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_stops_goes_on_stopping() {
        use Control::{Cancel, Drain, Pause, Run, Stop};
        for (wish, verb, then) in [
            (Run, Verb::Pause, Some(Pause)),
            (Pause, Verb::Pause, Some(Pause)),
            (Pause, Verb::Unpause, Some(Run)),
            (Pause, Verb::Stop, Some(Drain)),
            (Pause, Verb::Cancel, Some(Cancel)),
            (Run, Verb::Cancel, Some(Cancel)),
            (Cancel, Verb::Pause, None),
            (Cancel, Verb::Unpause, None),
            (Cancel, Verb::Stop, None),
            (Drain, Verb::Unpause, None),
            (Drain, Verb::Cancel, None),
            (Drain, Verb::Stop, Some(Drain)),
            (Stop, Verb::Stop, Some(Stop)),
            (Stop, Verb::Pause, None),
        ] {
            let control = watch::Sender::new(wish);
            let made = make(&control, verb);
            assert_eq!(made.ok(), then.map(|then| then != wish), "{wish:?} and {verb:?}");
            assert_eq!(*control.borrow(), then.unwrap_or(wish), "{wish:?} and {verb:?}");
        }
    }
}
