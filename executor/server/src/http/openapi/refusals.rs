//! What a route may answer instead of what it is there for.

use utoipa::{
    IntoResponses,
    openapi::{
        Content, Header, OpenApi, PathItem, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn},
        schema::{ObjectBuilder, Type},
    },
};

use super::schemas::Failure;

/// The refusals of the routes whose failures have a status of their own.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "these responses are described, not made")]
pub(in crate::http) enum ByStatus {
    /// Something in the request makes no sense: `field` says what
    #[response(status = 400)]
    InvalidInput(#[to_schema] Failure),
    /// What the request names is not there
    #[response(status = 404)]
    NotFound(#[to_schema] Failure),
    /// There is already another one
    #[response(status = 409)]
    Conflict(#[to_schema] Failure),
    /// The policy's code could not be made ready
    #[response(status = 422)]
    NotLoaded(#[to_schema] Failure),
    /// Nothing is free to do it
    #[response(status = 429, headers(("Retry-After" = u64, description = "Seconds to wait before asking again")))]
    Busy(#[to_schema] Failure),
    /// Not part of this version
    #[response(status = 501)]
    NotAvailable(#[to_schema] Failure),
    /// What is behind it could not be reached
    #[response(status = 502)]
    Unreachable(#[to_schema] Failure),
}

/// A refusal that the handlers need not speak of.
struct Refusal {
    of: Of,
    status: &'static str,
    name: &'static str,
    description: &'static str,
}

/// Which operations may give a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Any,
    WithBody,
    /// Something is named in the path, or there is a body.
    Asking,
}

#[rustfmt::skip]
const REFUSALS: [Refusal; 9] = [
    Refusal { of: Of::Asking, status: "400", name: "BadRequest", description: "The body is not JSON, or nested too deeply, or the path cannot be decoded" },
    Refusal { of: Of::Any, status: "401", name: "Unauthorized", description: "The server has tokens, and the request shows none that is good" },
    Refusal { of: Of::Any, status: "403", name: "Forbidden", description: "The role of the token does not suffice, or the request comes from a web page, or without tokens under a name that is not this machine's" },
    Refusal { of: Of::Any, status: "429", name: "TooMany", description: "The caller has as many requests at the same time, or sent as many within a second, as one may" },
    Refusal { of: Of::WithBody, status: "408", name: "TooSlow", description: "The body did not come in time" },
    Refusal { of: Of::WithBody, status: "413", name: "TooLarge", description: "The body is larger than is read" },
    Refusal { of: Of::WithBody, status: "415", name: "MediaType", description: "The body is of another media type than is read here, or encoded" },
    Refusal { of: Of::Any, status: "500", name: "Internal", description: "The server failed; its log has more under `id`" },
    Refusal { of: Of::Any, status: "503", name: "Stopping", description: "The server is stopping" },
];

/// Adds to every operation the refusals that it may give and does not speak of.
pub(super) fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    for refusal in &REFUSALS {
        components.responses.insert(refusal.name.into(), refusal.response().into());
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for refusal in &REFUSALS {
            if refusal.of.holds(operation) {
                let named = Ref::from_response_name(refusal.name);
                operation.responses.responses.entry(refusal.status.into()).or_insert(named.into());
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, head, options, .. } = item;
    [get, put, post, delete, patch, head, options].into_iter().flatten()
}

impl Of {
    fn holds(self, operation: &Operation) -> bool {
        let has_body = operation.request_body.is_some();
        let names = || {
            let mut all = operation.parameters.iter().flatten();
            all.any(|parameter| matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Path))
        };
        match self {
            Self::Any => true,
            Self::WithBody => has_body,
            Self::Asking => has_body || names(),
        }
    }
}

impl Refusal {
    fn response(&self) -> Response {
        let content = Content::new(Some(Ref::from_schema_name("Failure")));
        let response = ResponseBuilder::new().description(self.description).content("application/json", content);
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).description(Some("Seconds to wait"));
        match self.status {
            "429" | "503" => response.header("Retry-After", Header::new(seconds.build())).build(),
            _ => response.build(),
        }
    }
}
