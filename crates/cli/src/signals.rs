//! Ctrl-C and SIGTERM: the first drains, the second stops at once; both leave a run that can be gone on with.

use engine::Control;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::talk;

/// Turns signals into wishes, for as long as the runtime lives.
///
/// # Errors
/// Where the system does not let us listen.
pub(crate) fn listen(control: watch::Sender<Control>) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let wish = *control.borrow();
            // A run that is paused goes over into a stop like one that works; one that is being cancelled ends anyhow.
            if wish <= Control::Pause {
                talk::say("stopping: nothing new is asked; waiting for answers in flight (again: stop at once)");
                control.send_replace(Control::Drain);
            } else {
                control.send_replace(Control::Stop);
            }
        }
    });
    Ok(())
}
