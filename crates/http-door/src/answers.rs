//! The memory of answers, which is bounded until their clients have received them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};

use crate::api_error::ApiError;
use crate::limits::{
    ANSWER_TIMEOUT, ANSWERS_KIB_MAX, ANSWERS_WAITING_KIB_MAX, UNRESERVED_BYTES_MAX,
};
use crate::shares::{Budget, Client, Part};

/// Marks an answer that needs no room: its parts hold their own, or it is a static file, whose memory all
/// clients share.
#[derive(Debug, Clone, Copy)]
pub struct NoRoomNeeded;

/// Room for all large answers at once.
#[derive(Debug)]
pub(crate) struct Answers {
    /// For answers that their clients receive.
    kib: Budget,
    /// For answers that are made and wait for that room.
    waiting_kib: Budget,
}

/// Room for a part of an answer that is not made yet.
#[derive(Debug)]
pub(crate) struct Room(Part);

impl Answers {
    pub(crate) fn new() -> Self {
        Self {
            kib: Budget::new(ANSWERS_KIB_MAX),
            waiting_kib: Budget::new(ANSWERS_WAITING_KIB_MAX),
        }
    }

    /// Waits for room for up to `n_bytes`.
    pub(crate) async fn room(&self, client: Client, n_bytes: usize) -> Room {
        Room(self.kib.take(client, kib(n_bytes)).await)
    }

    /// Returns room for an answer that takes memory already.
    async fn room_for_made(&self, client: Client, n_bytes: usize) -> Result<Room, ApiError> {
        if let Some(part) = self.kib.try_take(client, kib(n_bytes)) {
            return Ok(Room(part));
        }
        let waiting = self.waiting_kib.try_take(client, kib(n_bytes));
        let _waiting = waiting.ok_or(ApiError::AnswersFull)?;
        let room = tokio::time::timeout(ANSWER_TIMEOUT, self.room(client, n_bytes)).await;
        room.map_err(|_| ApiError::AnswersFull)
    }

    /// Waits for room for a large answer, and refuses it when there is none for long, or when too much waits
    /// already. Streamed answers reserve their own.
    pub(crate) async fn hold(
        &self,
        client: Client,
        response: Response,
    ) -> Result<Response, ApiError> {
        let len = response.body().size_hint().exact().and_then(|len| usize::try_from(len).ok());
        let needs_none = response.extensions().get::<NoRoomNeeded>().is_some();
        match len {
            Some(len) if len > UNRESERVED_BYTES_MAX && !needs_none => {
                let room = Some(self.room_for_made(client, len).await?);
                Ok(response.map(|body| Body::new(HeldBody { body, room })))
            }
            _ => Ok(response),
        }
    }
}

impl Room {
    /// Holds the room until these bytes were sent.
    pub(crate) fn hold(mut self, bytes: impl AsRef<[u8]> + Send + 'static) -> Bytes {
        self.0.shrink_to(kib(bytes.as_ref().len()));
        Bytes::from_owner(Held { bytes, _room: self })
    }
}

fn kib(n_bytes: usize) -> u32 {
    u32::try_from(n_bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

/// Bytes that wait for their client. The connection drops them when they are sent.
struct Held<T> {
    bytes: T,
    _room: Room,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// A body whose bytes hold room. It comes in one piece.
struct HeldBody {
    body: Body,
    room: Option<Room>,
}

impl hyper::body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let hold = |frame: Frame<Bytes>| {
            frame.map_data(|bytes| match self.room.take() {
                Some(room) => room.hold(bytes),
                None => bytes,
            })
        };
        Poll::Ready(frame.map(|frame| frame.map(hold)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
