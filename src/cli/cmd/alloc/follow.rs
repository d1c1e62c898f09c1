//! Streams of frames: JSON objects one after the other, each with a piece of a file.

use bytes::Buf as _;
use http_body_util::BodyExt as _;

use crate::cli::http_client::{ApiError, Call};
use crate::http::dto::client::StreamFrame;

/// The most that is kept of a frame that has not arrived whole.
const FRAME_MAX: usize = 16 << 20;

/// Reads frames and hands on their data until the stream ends.
pub async fn frames(call: Call<'_>, mut each: impl FnMut(&StreamFrame)) -> Result<(), ApiError> {
    let name = call.url();
    let broken = |what: String| ApiError::Broken {
        call: format!("Get \"{name}\""),
        what,
    };
    let mut body = call.stream().await?.into_body();
    let mut pending = bytes::BytesMut::new();
    while let Some(piece) = body.frame().await {
        let piece = piece.map_err(|e| broken(e.to_string()))?;
        let Ok(data) = piece.into_data() else {
            continue;
        };
        pending.extend_from_slice(&data);
        if pending.len() > FRAME_MAX {
            return Err(broken("a frame of the stream is too large".to_owned()));
        }
        let used = whole_frames(&pending, &mut each).map_err(|e| broken(e.to_string()))?;
        pending.advance(used);
    }
    Ok(())
}

/// Hands on every frame that is there whole; returns how many bytes those took.
fn whole_frames(
    bytes: &[u8],
    each: &mut impl FnMut(&StreamFrame),
) -> Result<usize, serde_json::Error> {
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<StreamFrame>();
    let mut used = 0;
    while let Some(frame) = stream.next() {
        match frame {
            Ok(frame) => {
                used = stream.byte_offset();
                each(&frame);
            }
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_in_pieces() {
        let mut seen = Vec::new();
        let bytes = br#"{"Data":"aGk=","Offset":2}{}{"Da"#;
        let used = whole_frames(bytes, &mut |f| seen.push(f.data.clone())).unwrap();
        assert_eq!(seen, [b"hi".to_vec(), vec![]]);
        assert_eq!(&bytes[used..], br#"{"Da"#);
        assert!(whole_frames(b"nope", &mut |_| {}).is_err());
    }
}
