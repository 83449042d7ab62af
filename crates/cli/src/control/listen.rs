//! The run's side of the control socket.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use engine::Control;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    place,
    protocol::{Answer, Ended, MAX_REQUEST, Request, Verb},
    wish,
};
use crate::{progress::Watched, talk};

/// So many clients are listened to at a time.
const MAX_CLIENTS: u32 = 16;
/// A client that does not take an answer for so long is left.
const TO_WRITE: Duration = Duration::from_secs(5);
/// A client that asks for nothing for so long is left.
const TO_ASK: Duration = Duration::from_secs(60);
/// How often a watcher is told where the run stands.
const EVERY: Duration = Duration::from_millis(500);
/// How long the end of a run waits until all watchers were told of it.
const TO_SAY_GOODBYE: Duration = Duration::from_secs(1);

/// The control socket of a run that this process works on. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    folder: PathBuf,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    run: String,
    control: watch::Sender<Control>,
    watched: Watched,
    ended: watch::Sender<Option<Ended>>,
    room: Arc<Semaphore>,
}

impl ControlSocket {
    /// Binds the socket in the run's folder and listens, on the runtime that this is called on. The caller holds the run's
    /// lock: a socket that lies there is a dead process's, and goes.
    ///
    /// # Errors
    /// As the file system says. A run without a control socket cannot be watched, and runs all the same.
    pub(crate) fn bind(
        folder: &Path,
        run: &str,
        control: watch::Sender<Control>,
        watched: Watched,
    ) -> io::Result<Self> {
        let listener = place::at(folder, |path| {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            // The folder is its owner's only, so nobody else came in before this.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(listener)
        })?;
        let room = Arc::new(Semaphore::new(MAX_CLIENTS as usize));
        let shared = Arc::new(Shared { run: run.to_owned(), control, watched, ended: watch::Sender::new(None), room });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { folder: folder.to_owned(), shared, accepting })
    }

    /// Tells all who watch how the run ended, and takes the socket away.
    pub(crate) async fn end(self, ended: Ended) {
        // Nobody new: they find no socket, and look at the run's folder.
        self.accepting.abort();
        self.shared.ended.send_replace(Some(ended));
        // Clients leave when they were told; one that does not is not waited for.
        let _ = timeout(TO_SAY_GOODBYE, self.shared.room.acquire_many(MAX_CLIENTS)).await;
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.accepting.abort();
        // Where it cannot be removed, the next process on this run does.
        let _ = place::at(&self.folder, |path| fs::remove_file(path));
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, as a rule: they will be fewer.
            tokio::time::sleep(EVERY).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        match Arc::clone(&shared.room).try_acquire_owned() {
            Ok(place) => {
                tokio::spawn(async move {
                    // A client that went away is nobody's trouble.
                    let _ = serve(stream, &shared).await;
                    drop(place);
                });
            }
            Err(_) => {
                let error = format!("{MAX_CLIENTS} clients are connected already; try again when one has left");
                // It fits into the socket's buffer, or is not told.
                let _ = stream.try_write(&line_of(&Answer::Error { error }));
            }
        }
    }
}

async fn serve(stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(MAX_REQUEST, reader);
    let mut ended = shared.ended.subscribe();
    loop {
        let request = tokio::select! {
            request = timeout(TO_ASK, request(&mut reader)) => request?,
            // Who did not watch need not be told.
            _ = end_of(&mut ended) => return Ok(()),
        };
        let verb = match request? {
            None => return Ok(()),
            Some(Ok(verb)) => verb,
            Some(Err(error)) => {
                let is_lost = error.is_unending;
                send(&mut writer, &Answer::Error { error: error.message }).await?;
                if is_lost {
                    return Ok(());
                }
                continue;
            }
        };
        match verb {
            Verb::Watch => return watch(reader, writer, shared).await,
            Verb::Status => send(&mut writer, &standing(&shared.watched)).await?,
            Verb::Pause | Verb::Unpause | Verb::Stop | Verb::Cancel => {
                let answer = match wish::make(&shared.control, verb) {
                    Ok(is_new) => {
                        if is_new {
                            tell(verb, &shared.run);
                        }
                        Answer::Ok { ok: true }
                    }
                    Err(why) => Answer::Error { error: why.to_owned() },
                };
                send(&mut writer, &answer).await?;
            }
        }
    }
}

/// Says in the run's own terminal what somebody wished in another one.
fn tell(verb: Verb, run: &str) {
    match verb {
        Verb::Pause => {
            talk::say(format!("paused from another terminal: nothing new is asked; go on with: tidemill unpause {run}"))
        }
        Verb::Unpause => talk::say("going on: the pause was ended from another terminal"),
        Verb::Stop => talk::say("stopping, as another terminal wishes: waiting for answers in flight"),
        Verb::Cancel => talk::say(
            "cancelling, as another terminal wishes: waiting for answers in flight; the records that are left end as cancelled",
        ),
        Verb::Status | Verb::Watch => {}
    }
}

/// A request that cannot be understood.
struct NotUnderstood {
    message: String,
    /// Whether it is not known where the next one begins.
    is_unending: bool,
}

/// Reads a request; `None` where the client has nothing more to say.
async fn request(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Option<Result<Verb, NotUnderstood>>> {
    let mut line = Vec::new();
    reader.take(MAX_REQUEST as u64).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() == MAX_REQUEST && line.last() != Some(&b'\n') {
        let message = format!("a request is one line of at most {MAX_REQUEST} bytes");
        return Ok(Some(Err(NotUnderstood { message, is_unending: true })));
    }
    let understood = serde_json::from_slice::<Request>(&line).map(|request| request.r#do).map_err(|error| {
        let message = format!(
            "not understood: {error}; a request is {{\"do\":\"…\"}} with status, watch, pause, unpause, stop or cancel"
        );
        NotUnderstood { message, is_unending: false }
    });
    Ok(Some(understood))
}

/// Tells where the run stands until it ends or the client leaves.
async fn watch(mut reader: BufReader<OwnedReadHalf>, mut writer: OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    let mut ended = shared.ended.subscribe();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ignored = [0; 64];
    let end = loop {
        tokio::select! {
            _ = ticks.tick() => send(&mut writer, &standing(&shared.watched)).await?,
            end = end_of(&mut ended) => break end,
            n = reader.read(&mut ignored) => if n? == 0 { return Ok(()) },
        }
    };
    send(&mut writer, &standing(&shared.watched)).await?;
    send(&mut writer, &Answer::Ended { ended: end.unwrap_or_default() }).await
}

/// Waits for the end of the run, and returns how it ended.
async fn end_of(ended: &mut watch::Receiver<Option<Ended>>) -> Option<Ended> {
    ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone())
}

fn standing(watched: &Watched) -> Answer {
    match &*watched.borrow() {
        Some(standing) => Answer::Standing(Box::new((**standing).clone())),
        None => Answer::Starting { starting: true },
    }
}

async fn send(writer: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    timeout(TO_WRITE, writer.write_all(&line_of(answer))).await?
}

fn line_of(answer: &Answer) -> Vec<u8> {
    // An answer is made of words and numbers: it can be written.
    let mut line = serde_json::to_vec(answer).unwrap_or_default();
    line.push(b'\n');
    line
}
