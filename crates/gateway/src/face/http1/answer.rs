//! An answer on its way out.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use domain::Timestamp;
use http::{Response, StatusCode};

use super::{
    super::{
        body::FaceBody,
        patient::{UNREAD, waited},
    },
    line::Line,
    outbox::End,
};

/// How much of an answer is put together before it is written.
const GATHERED: usize = 64 * 1024;

/// How an answer goes out.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) is_head: bool,
    pub(super) is_1_1: bool,
    pub(super) may_stay: bool,
}

/// How far an answer is.
struct Sending {
    /// Whether nothing more is to be taken of it.
    is_over: bool,
    /// Whether the rest of it will not come, which only the end of the connection can tell.
    is_broken: bool,
    is_chunked: bool,
}

impl Line {
    /// Writes an answer; returns whether another request may follow.
    pub(super) async fn answer(&mut self, response: Response<FaceBody>, way: Way, now: Timestamp) -> bool {
        let (parts, mut body) = response.into_parts();
        let status = parts.status;
        let has_body = !way.is_head && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
        let end = match body.length() {
            Some(0) if !has_body => End::NoBody,
            Some(length) => End::Length(length),
            None if way.is_1_1 => End::Chunks,
            None => End::Close,
        };
        let stays = way.may_stay && end != End::Close;
        let connection = match (stays, way.is_1_1) {
            (false, _) => "close",
            (true, true) => "",
            (true, false) => "keep-alive",
        };
        date(now, |date| self.out.head(status, &parts.headers, end, connection, date));
        drop(parts);
        let mut sending = Sending { is_over: !has_body, is_broken: false, is_chunked: end == End::Chunks };
        let is_written = poll_fn(|cx| self.poll_answer(cx, &mut body, &mut sending)).await;
        is_written && !sending.is_broken && stays
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, body: &mut FaceBody, sending: &mut Sending) -> Poll<bool> {
        loop {
            while !sending.is_over && self.out.n_bytes() < GATHERED {
                match body.poll_piece(cx) {
                    Poll::Ready(Some(Ok(piece))) if sending.is_chunked => self.out.chunk(piece),
                    Poll::Ready(Some(Ok(piece))) => self.out.piece(piece),
                    Poll::Ready(Some(Err(_))) => (sending.is_over, sending.is_broken) = (true, true),
                    Poll::Ready(None) => {
                        sending.is_over = true;
                        if sending.is_chunked {
                            self.out.text(b"0\r\n\r\n");
                        }
                    }
                    Poll::Pending => break,
                }
            }
            if self.out.n_bytes() > 0 {
                let n_before = self.out.n_bytes();
                match self.out.poll_write(cx, &mut self.stream) {
                    Poll::Ready(Ok(())) => self.unread = None,
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    Poll::Pending => {
                        if self.out.n_bytes() < n_before {
                            self.unread = None;
                        }
                        // Somebody who never reads would hold the place at the upstream for as long as he likes.
                        if waited(&mut self.unread, UNREAD, cx).is_ready() {
                            return Poll::Ready(false);
                        }
                        return self.poll_gone(cx).map(|()| false);
                    }
                }
            } else if sending.is_over {
                return Poll::Ready(true);
            } else {
                return self.poll_gone(cx).map(|()| false);
            }
        }
    }
}

/// Calls `write` with the date as answers have it, which is made once a second.
fn date(now: Timestamp, write: impl FnOnce(&[u8])) {
    thread_local! {
        static LAST: std::cell::RefCell<(u64, String)> = const { std::cell::RefCell::new((u64::MAX, String::new())) };
    }
    LAST.with_borrow_mut(|(second, date)| {
        let this = now.0 / 1_000;
        if this != *second {
            *second = this;
            *date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(this));
        }
        write(date.as_bytes());
    });
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, net::TcpStream, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_his_answer_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut line = Line::new(stream, Duration::from_secs(10));
        let response = Response::new(FaceBody::whole(vec![0; 64 << 20]));
        let (way, began) = (Way { is_head: false, is_1_1: true, may_stay: true }, Instant::now());
        assert!(!line.answer(response, way, Timestamp(0)).await);
        assert!(began.elapsed() >= UNREAD && began.elapsed() < 2 * UNREAD, "{:?}", began.elapsed());
        drop(client);
    }

    #[test]
    fn the_date_is_that_of_the_second() {
        for (ms, expected) in [
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778_000, "Sun, 06 Nov 1994 08:49:38 GMT"),
        ] {
            date(Timestamp(ms), |date| assert_eq!(date, expected.as_bytes()));
        }
    }
}
