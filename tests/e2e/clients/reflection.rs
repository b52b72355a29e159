//! A gRPC client that knows nothing beforehand: it learns the service by reflection and speaks in
//! JSON.

use std::net::SocketAddr;

use bytes::{Buf, BufMut};
use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ServiceDescriptor,
    prost_types::{FileDescriptorProto, FileDescriptorSet},
};
use serde_json::Value;
use tonic::{
    Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_reflection::pb::{v1, v1alpha};

/// A service that was learnt by reflection.
pub(crate) struct Generic {
    channel: Channel,
    service: ServiceDescriptor,
}

impl Generic {
    /// Asks the server for everything that the service needs.
    pub(crate) async fn learn(address: SocketAddr, service: &str) -> Self {
        let channel = connect(address).await;
        let mut files = Vec::new();
        let symbol =
            v1::server_reflection_request::MessageRequest::FileContainingSymbol(service.to_owned());
        let mut wanted = vec![symbol];
        while let Some(question) = wanted.pop() {
            for file in ask(channel.clone(), question).await {
                if files
                    .iter()
                    .any(|known: &FileDescriptorProto| known.name == file.name)
                {
                    continue;
                }
                let others = file.dependency.iter().cloned();
                wanted.extend(
                    others.map(v1::server_reflection_request::MessageRequest::FileByFilename),
                );
                files.push(file);
            }
        }
        let pool = DescriptorPool::from_file_descriptor_set(FileDescriptorSet { file: files })
            .expect("descriptors that fit together");
        let service = pool.get_service_by_name(service).expect("the service");
        Self { channel, service }
    }

    /// Calls a method with a JSON message, and gives the answer as JSON.
    pub(crate) async fn call(&self, method: &str, message: Value) -> Result<Value, Status> {
        let method = self
            .service
            .methods()
            .find(|known| known.name() == method)
            .unwrap_or_else(|| panic!("no method {method}"));
        let request =
            DynamicMessage::deserialize(method.input(), message).expect("a request in JSON");
        let path = format!("/{}/{}", self.service.full_name(), method.name());
        let path = PathAndQuery::try_from(path).expect("a path");
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.expect("the connection");
        let response = client
            .unary(Request::new(request.encode_to_vec()), path, Raw)
            .await?;
        let response = DynamicMessage::decode(method.output(), response.into_inner().as_slice())
            .expect("an answer of the right type");
        Ok(serde_json::to_value(response).expect("an answer in JSON"))
    }

    /// The services that the older reflection protocol names.
    pub(crate) async fn services(address: SocketAddr) -> Vec<String> {
        use v1alpha::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new(connect(address).await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(request))
            .await;
        let answer = answers.expect("reflection").into_inner().message().await;
        match answer
            .expect("an answer")
            .and_then(|answer| answer.message_response)
        {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect(),
            other => panic!("no list of services: {other:?}"),
        }
    }
}

async fn connect(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("a connection")
}

/// Asks one question of the reflection service; the files in the answer.
async fn ask(
    channel: Channel,
    question: v1::server_reflection_request::MessageRequest,
) -> Vec<FileDescriptorProto> {
    use v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers.expect("reflection").into_inner().message().await;
    match answer
        .expect("an answer")
        .and_then(|answer| answer.message_response)
    {
        Some(MessageResponse::FileDescriptorResponse(files)) => files
            .file_descriptor_proto
            .iter()
            .map(|file| FileDescriptorProto::decode(file.as_slice()).expect("a descriptor"))
            .collect(),
        other => panic!("no files: {other:?}"),
    }
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut bytes = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut bytes);
        Ok(Some(bytes))
    }
}
