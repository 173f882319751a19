//! The tokens that open the API. What is stored of one is the digest of its text, from which nobody gets the text back.

use super::{
    Store,
    db::Row,
    terms::{decode, encode},
};
use crate::error::Error;

/// A token as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// What it is spoken of by.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is good for.
    pub role: String,
    /// The sha256 of its text.
    pub digest: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// From when on it is no longer good.
    pub expires_at_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}

impl Store {
    /// Every token that was ever made, the oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        let sql = "SELECT id, name, role, digest, created_at_ms, expires_at_ms, revoked_at_ms
             FROM tokens ORDER BY created_at_ms, id";
        self.db.fetch(sql, &[]).await?.iter().map(token).collect()
    }

    /// Keeps a new token.
    pub async fn add_token(&self, row: &TokenRow) -> Result<(), Error> {
        let sql = "INSERT INTO tokens (id, name, role, digest, created_at_ms, expires_at_ms, revoked_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let name = encode(&row.name);
        let args = [
            (&row.id).into(),
            (&*name).into(),
            (&row.role).into(),
            (&row.digest).into(),
            row.created_at_ms.into(),
            row.expires_at_ms.into(),
            row.revoked_at_ms.into(),
        ];
        self.db.execute(sql, &args).await.map(drop)
    }

    /// Revokes a token; false if there is none of this id that is not revoked already.
    pub async fn revoke_token(&self, id: &str, at_ms: i64) -> Result<bool, Error> {
        let sql = "UPDATE tokens SET revoked_at_ms = $2 WHERE id = $1 AND revoked_at_ms IS NULL";
        Ok(self.db.execute(sql, &[id.into(), at_ms.into()]).await? == 1)
    }
}

fn token(row: &Row) -> Result<TokenRow, Error> {
    Ok(TokenRow {
        id: row.text(0)?.to_owned(),
        name: decode(row.text(1)?).into_owned(),
        role: row.text(2)?.to_owned(),
        digest: row.text(3)?.to_owned(),
        created_at_ms: row.int(4)?,
        expires_at_ms: row.maybe_int(5)?,
        revoked_at_ms: row.maybe_int(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::Place;

    fn row(id: &str, digest: &str) -> TokenRow {
        TokenRow {
            id: id.into(),
            name: "n\0".into(),
            role: "caller".into(),
            digest: digest.into(),
            created_at_ms: 1,
            expires_at_ms: Some(2),
            revoked_at_ms: None,
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_and_revoked_once() {
        let place = Place::new().await;
        let store = place.open().await;
        let (a, b) = (row("a", "1"), TokenRow { created_at_ms: 0, expires_at_ms: None, ..row("b", "2") });
        store.add_token(&a).await.unwrap();
        store.add_token(&b).await.unwrap();
        assert!(store.add_token(&row("c", "1")).await.is_err());
        assert_eq!(store.tokens().await.unwrap(), [b.clone(), a.clone()]);
        assert!(store.revoke_token("a", 5).await.unwrap());
        assert!(!store.revoke_token("a", 6).await.unwrap());
        assert!(!store.revoke_token("z", 6).await.unwrap());
        assert_eq!(store.tokens().await.unwrap(), [b, TokenRow { revoked_at_ms: Some(5), ..a }]);
    }
}
