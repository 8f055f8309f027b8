//! An answer as it arrived: bytes, decoded only when somebody asks.

use std::fmt;
use std::marker::PhantomData;

use bytes::{Buf, Bytes};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// The raw bytes of an answer of type `T`.
///
/// Structured output is written from the bytes, so nothing is lost that our protos do not know; tables and checks
/// decode them.
pub struct Reply<T> {
    bytes: Bytes,
    message: PhantomData<fn() -> T>,
}

impl<T> Reply<T> {
    /// Wraps the bytes of an encoded `T`.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            message: PhantomData,
        }
    }

    /// The encoded message.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl<T: prost::Message + Default> Reply<T> {
    /// The decoded message.
    ///
    /// # Errors
    /// The bytes are not a `T`: the runtime speaks something else or is broken.
    pub fn decode(&self) -> Result<T, prost::DecodeError> {
        T::decode(self.bytes.clone())
    }
}

impl<T> Clone for Reply<T> {
    fn clone(&self) -> Self {
        Self::new(self.bytes.clone())
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({} bytes)", self.bytes.len())
    }
}

/// A tonic codec that encodes prost requests and hands out answers undecoded.
pub(super) struct RawCodec<Q>(PhantomData<fn(Q)>);

impl<Q> Default for RawCodec<Q> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Q: prost::Message + 'static> Codec for RawCodec<Q> {
    type Encode = Q;
    type Decode = Bytes;
    type Encoder = RequestEncoder<Q>;
    type Decoder = BytesDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        RequestEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        BytesDecoder
    }
}

pub(super) struct RequestEncoder<Q>(PhantomData<fn(Q)>);

impl<Q: prost::Message> Encoder for RequestEncoder<Q> {
    type Item = Q;
    type Error = Status;

    fn encode(&mut self, request: Q, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(request.encoded_len());
        request
            .encode(target)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

pub(super) struct BytesDecoder;

impl Decoder for BytesDecoder {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = source.remaining();
        Ok(Some(source.copy_to_bytes(length)))
    }
}
