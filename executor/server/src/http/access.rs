//! Who makes a request, and whether it may.
//!
//! What each route needs is [`ROUTES`], by the template of its path; one that is not there takes an admin. The hot routes
//! are looked at where they are matched, all others here, before their handlers. What changes something is recorded.

use std::{cell::RefCell, net::IpAddr, sync::Arc};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use hyper::{
    HeaderMap, Method,
    header::{AUTHORIZATION, HeaderValue},
};

use super::{reply, router::answer_by_status};
use crate::{
    access::{Access, Caller, Entry, Permission, Running, Trail},
    app::App,
    error::Error,
};

/// What a connection knows of who is at its other end.
pub(super) struct Session {
    address: IpAddr,
    known: RefCell<Option<Known>>,
}

/// Who the last request was from.
struct Known {
    authorization: Option<HeaderValue>,
    generation: u64,
    caller: Arc<Caller>,
}

/// Who makes one request.
pub(super) struct Visitor {
    /// Where from.
    pub(super) address: IpAddr,
    /// As whom, or why as nobody.
    pub(super) caller: Result<Arc<Caller>, Error>,
}

impl Session {
    pub(super) fn new(address: IpAddr) -> Self {
        Self { address, known: RefCell::new(None) }
    }

    /// Who makes a request with these headers.
    ///
    /// PERF: a connection that shows what it showed before is not looked up again until tokens change, and its callers are
    /// its own, so that no two processors count references in one place.
    pub(super) fn visitor(&self, access: &Access, headers: &HeaderMap) -> Visitor {
        let (authorization, generation) = (headers.get(AUTHORIZATION), access.generation());
        let mut known = self.known.borrow_mut();
        if let Some(known) = known
            .as_ref()
            .filter(|known| known.generation == generation && known.authorization.as_ref() == authorization)
        {
            return Visitor { address: self.address, caller: Ok(Arc::clone(&known.caller)) };
        }
        // A header that is no text is no token.
        let text = authorization.map(|value| value.to_str().unwrap_or(""));
        let caller = access.caller(text, self.address).map(Arc::new);
        *known = caller.as_ref().ok().map(|caller| Known {
            authorization: authorization.cloned(),
            generation,
            caller: Arc::clone(caller),
        });
        Visitor { address: self.address, caller }
    }
}

impl Visitor {
    /// Lets in who may run policies, and counts the request.
    pub(super) fn runs(self) -> Result<(Arc<Caller>, Option<Running>), Error> {
        let caller = self.caller?;
        caller.must(Permission::Run)?;
        let running = caller.take()?;
        Ok((caller, running))
    }
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: what is the same on every server.
    Nothing,
    /// A caller who may do this.
    To(Permission),
    /// A caller who may do this, of which a record is kept.
    Change(Permission),
}

/// Every route of the main listener, and what it needs.
#[rustfmt::skip]
const ROUTES: [(&str, &str, Need); 61] = {
    use Need::{Change, Nothing, To};
    use Permission::{Administer, Deploy, Follow, Publish, Read, Run};
    [
        ("GET",    "/openapi.json", Nothing),
        ("GET",    "/docs", Nothing),
        ("GET",    "/docs/{file}", Nothing),
        ("GET",    "/health", To(Read)),

        ("POST",   "/policy", Change(Publish)),
        ("GET",    "/policy/{policy_rule_uri}", To(Read)),
        ("PUT",    "/policy/{policy_rule_uri}", Change(Publish)),
        ("DELETE", "/policy/{policy_rule_uri}", Change(Publish)),
        ("POST",   "/policy/query", To(Read)),
        ("PUT",    "/policy/{policy_rule_uri}/shadow", Change(Deploy)),
        ("GET",    "/policy/{policy_rule_uri}/shadow", To(Read)),
        ("DELETE", "/policy/{policy_rule_uri}/shadow", Change(Deploy)),

        ("POST",   "/upload_asset", Change(Publish)),
        ("GET",    "/asset-object/{asset_id}", To(Read)),
        ("POST",   "/asset", Change(Publish)),
        ("GET",    "/asset/{asset_uri}", To(Read)),
        ("PUT",    "/asset/{asset_uri}", Change(Publish)),
        ("DELETE", "/asset/{asset_uri}", Change(Publish)),
        ("POST",   "/assets", To(Read)),

        ("POST",   "/executor", Change(Administer)),
        ("GET",    "/executor/{executor_id}", To(Read)),
        ("PUT",    "/executor/{executor_id}", Change(Administer)),
        ("DELETE", "/executor/{executor_id}", Change(Administer)),
        ("POST",   "/executor/query", To(Read)),
        // Said every few seconds, and by no person.
        ("POST",   "/executor/{executor_id}/heartbeat", To(Deploy)),
        ("POST",   "/executor/{executor_id}/create-infra", Change(Administer)),
        ("DELETE", "/executor/{executor_id}/remove-infra", Change(Administer)),

        ("POST",   "/executor/{executor_id}/execute_policy", To(Run)),
        ("POST",   "/executor/{executor_id}/execute_policy/batch", To(Run)),
        ("POST",   "/execute_policy", To(Run)),
        ("POST",   "/function/call_function/{name}", To(Run)),
        ("POST",   "/call_function/{name}", To(Run)),
        ("POST",   "/graph/execute_graph", To(Run)),

        ("GET",    "/function/{function_id}", To(Read)),
        ("POST",   "/function/query", To(Read)),
        ("GET",    "/function/get_logs/{name}", To(Read)),
        ("POST",   "/function/deployments/create/{executor_id}", Change(Deploy)),
        ("POST",   "/function/deployments/create/", Change(Deploy)),
        ("POST",   "/function/deployments/create-with-estimate/{executor_id}", Change(Deploy)),
        ("DELETE", "/function/deployments/remove/{name}", Change(Deploy)),
        ("POST",   "/function/management/{name}", Change(Deploy)),
        ("POST",   "/function/{function_id}/upgrade", Change(Deploy)),

        ("POST",   "/graphs", Change(Deploy)),
        ("GET",    "/graphs/{graph_uri}", To(Read)),
        ("PUT",    "/graphs/{graph_uri}", Change(Deploy)),
        ("DELETE", "/graphs/{graph_uri}", Change(Deploy)),
        ("POST",   "/graphs/query", To(Read)),

        // Who may only run sees the jobs that it submitted: `Jobs::must_see`.
        ("POST",   "/jobs/submit/{executor_id}", Change(Run)),
        ("POST",   "/jobs/submit/", Change(Run)),
        ("POST",   "/jobs/submit-with-estimate/{executor_id}", Change(Run)),
        ("GET",    "/jobs/{job_id}", To(Follow)),
        ("GET",    "/jobs/{job_id}/events", To(Follow)),
        ("POST",   "/jobs/{job_id}/cancel", Change(Run)),
        ("POST",   "/jobs/query", To(Read)),

        ("POST",   "/estimator/estimate", To(Run)),
        ("POST",   "/deployments", Change(Deploy)),
        ("POST",   "/deployments/deploy-with-estimate", Change(Deploy)),
        ("DELETE", "/deployments/{name}", Change(Deploy)),
        ("GET",    "/get_function_logs/{name}", To(Read)),
        ("POST",   "/create_job", Change(Deploy)),
        ("POST",   "/create_job_with_estimate", Change(Deploy)),
    ]
};

impl Need {
    /// What a request needs whose path has this template.
    fn of(method: &Method, template: &str) -> Self {
        // Where there is a GET, there is a HEAD.
        let method = if method == Method::HEAD { "GET" } else { method.as_str() };
        let named = ROUTES.iter().find(|(known, path, _)| *known == method && *path == template);
        named.map_or(Self::Change(Permission::Administer), |(_, _, need)| *need)
    }
}

/// Lets a request of the router's in, or not, and records what changes something.
pub(super) async fn check(State(app): State<App>, path: MatchedPath, mut request: Request, next: Next) -> Response {
    let need = Need::of(request.method(), path.as_str());
    let (Need::To(permission) | Need::Change(permission)) = need else { return next.run(request).await };
    let Some(visitor) = request.extensions_mut().remove::<Arc<Visitor>>() else {
        return answer_by_status(Err(Error::internal("a request came in past the door", path.as_str())));
    };
    let change = matches!(need, Need::Change(_)).then(|| Change::begin(&app.trail, &visitor, &request));
    let response = match let_in(&visitor, permission) {
        Ok((caller, _running)) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => {
            app.metrics.refused();
            answer_by_status(Err(error))
        }
    };
    if let Some(change) = change {
        change.end(&response);
    }
    response
}

/// A change that is recorded at its end, or when nobody waits for it any more: it may be made all the same.
struct Change {
    trail: Trail,
    visitor: Arc<Visitor>,
    method: Method,
    path: String,
    /// The status of the answer, and the code of a refusal.
    answer: Option<(u16, Option<&'static str>)>,
}

impl Change {
    fn begin(trail: &Trail, visitor: &Arc<Visitor>, request: &Request) -> Self {
        let (trail, visitor) = (trail.clone(), Arc::clone(visitor));
        Self { trail, visitor, method: request.method().clone(), path: request.uri().path().to_owned(), answer: None }
    }

    fn end(mut self, response: &Response) {
        self.answer = Some((response.status().as_u16(), reply::refused_as(response)));
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self.trail.note(&Entry {
            caller: self.visitor.caller.as_deref().ok(),
            address: self.visitor.address,
            method: self.method.as_str(),
            path: &self.path,
            status: self.answer.map(|(status, _)| status),
            code: self.answer.and_then(|(_, code)| code),
        });
    }
}

fn let_in(visitor: &Visitor, permission: Permission) -> Result<(Arc<Caller>, Option<Running>), Error> {
    let caller = visitor.caller.as_ref().map_err(Error::again)?;
    caller.must(permission)?;
    let running = caller.take()?;
    Ok((Arc::clone(caller), running))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::router;

    #[test]
    fn every_route_says_what_it_needs() {
        let document = router::parts().into_openapi();
        let mut served = BTreeSet::new();
        for (path, item) in &document.paths.paths {
            let methods = [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("DELETE", &item.delete),
                ("PATCH", &item.patch),
                ("HEAD", &item.head),
                ("OPTIONS", &item.options),
            ];
            served
                .extend(methods.into_iter().filter(|(_, it)| it.is_some()).map(|(method, _)| (method, path.as_str())));
        }
        let known: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| (*method, *path)).collect();
        assert_eq!(known, served);
        assert_eq!(ROUTES.len(), served.len());
    }

    #[test]
    fn what_is_not_known_takes_an_admin() {
        let admin = Need::Change(Permission::Administer);
        assert_eq!(Need::of(&Method::POST, "/policy/{policy_rule_uri}"), admin);
        assert_eq!(Need::of(&Method::GET, "/new"), admin);
        assert_eq!(Need::of(&Method::HEAD, "/policy/{policy_rule_uri}"), Need::To(Permission::Read));
    }

    /// What is read is not recorded, and what writes is not let in as reading.
    #[test]
    fn only_what_changes_is_a_change() {
        for (method, path, need) in ROUTES {
            let asks = path.ends_with("/query") || path == "/assets" || path.ends_with("/heartbeat");
            let runs = matches!(need, Need::To(Permission::Run));
            let changes = method != "GET" && !asks && !runs;
            assert_eq!(matches!(need, Need::Change(_)), changes, "{method} {path}");
        }
    }
}
