//! Assets that are files: the record, and the bytes, which are kept once however many assets have them.
//!
//! A blob is there as long as an asset has it. Whoever gives a blob to an asset, or takes it from one, first writes the
//! blob's own row: so two that do it to one blob wait for each other, and none removes what another just gave.

use lictor_model::Digest;
use serde_json::{Map, Value};

use super::{Kind, Spooled, Store, db::Tx, terms::encode};
use crate::error::Error;

/// The file of an asset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssetFile {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
}

impl Store {
    /// Stores an asset with its file. Returns its revision, or none if the uri is taken.
    pub async fn insert_asset(
        &self,
        uri: &str,
        asset_id: &str,
        document: &Map<String, Value>,
        file: &Spooled,
    ) -> Result<Option<i64>, Error> {
        let mut tx = self.db.begin().await?;
        let Some(revision) = self.insert_within(&mut tx, Kind::Asset, uri, document).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        let digest = file.digest.to_string();
        put_blob(&mut tx, &digest, file).await?;
        let sql = "INSERT INTO asset_files (asset_id, asset_uri, digest) VALUES ($1, $2, $3)";
        tx.execute(sql, &[asset_id.into(), (&*encode(uri)).into(), (&digest).into()]).await?;
        tx.commit().await?;
        Ok(Some(revision))
    }

    /// Like [`Store::replace`]; the file goes where its record goes.
    pub async fn replace_asset(
        &self,
        (uri, revision): (&str, i64),
        new_uri: &str,
        document: &Map<String, Value>,
    ) -> Result<Option<i64>, Error> {
        let mut tx = self.db.begin().await?;
        let done = self.replace_within(&mut tx, Kind::Asset, (uri, revision), new_uri, document).await;
        if !matches!(done, Ok(Some(_))) {
            // The first error is the one to tell.
            drop(tx.rollback().await);
            return done;
        }
        let sql = "UPDATE asset_files SET asset_uri = $1 WHERE asset_uri = $2";
        tx.execute(sql, &[(&*encode(new_uri)).into(), (&*encode(uri)).into()]).await?;
        tx.commit().await?;
        done
    }

    /// Removes an asset, and its file if no other asset has the same; false if there is no such asset.
    pub async fn remove_asset(&self, uri: &str) -> Result<bool, Error> {
        let mut tx = self.db.begin().await?;
        let found = self.remove_within(&mut tx, Kind::Asset, uri).await?;
        let uri = encode(uri);
        let rows = tx.fetch("SELECT digest FROM asset_files WHERE asset_uri = $1", &[(&*uri).into()]).await?;
        let digest = rows.first().map(|row| row.text(0).map(str::to_owned)).transpose()?;
        if let Some(digest) = digest {
            tx.execute("UPDATE blobs SET size = size WHERE digest = $1", &[(&digest).into()]).await?;
            tx.execute("DELETE FROM asset_files WHERE asset_uri = $1", &[(&*uri).into()]).await?;
            remove_unused(&mut tx, &digest).await?;
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The file of the asset with this id, if there is one.
    pub async fn asset_file(&self, asset_id: &str) -> Result<Option<AssetFile>, Error> {
        let sql =
            "SELECT f.digest, b.size FROM asset_files f JOIN blobs b ON b.digest = f.digest WHERE f.asset_id = $1";
        let Some(row) = self.db.fetch_one(sql, &[(&*encode(asset_id)).into()]).await? else { return Ok(None) };
        let damaged = |what: String| Error::internal("a stored asset cannot be read", what);
        let digest = row.text(0)?.parse().map_err(|error| damaged(format!("{error}")))?;
        let size = u64::try_from(row.int(1)?).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(AssetFile { digest, size }))
    }

    /// The bytes of a file; none if it went away.
    pub async fn blob(&self, file: AssetFile) -> Result<Option<Vec<u8>>, Error> {
        let digest = file.digest.to_string();
        let size = usize::try_from(file.size).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(size);
        let mut idx = 0;
        while bytes.len() < size {
            let sql = "SELECT bytes FROM chunks WHERE digest = $1 AND idx = $2";
            let Some(row) = self.db.fetch_one(sql, &[(&digest).into(), idx.into()]).await? else { return Ok(None) };
            bytes.extend_from_slice(row.bytes(0)?);
            idx += 1;
        }
        Ok(Some(bytes))
    }
}

/// Stores the bytes unless they are there.
async fn put_blob(tx: &mut Tx, digest: &str, file: &Spooled) -> Result<(), Error> {
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    let sql =
        "INSERT INTO blobs (digest, size) VALUES ($1, $2) ON CONFLICT (digest) DO UPDATE SET size = excluded.size";
    tx.execute(sql, &[digest.into(), size.into()]).await?;
    if !tx.fetch("SELECT 1 FROM chunks WHERE digest = $1 LIMIT 1", &[digest.into()]).await?.is_empty() {
        return Ok(());
    }
    let mut idx = 0u64;
    while let Some(bytes) = file.chunk(idx).await? {
        let sql = "INSERT INTO chunks (digest, idx, bytes) VALUES ($1, $2, $3)";
        let at = i64::try_from(idx).unwrap_or(i64::MAX);
        tx.execute(sql, &[digest.into(), at.into(), bytes.as_slice().into()]).await?;
        idx = idx.saturating_add(1);
    }
    Ok(())
}

async fn remove_unused(tx: &mut Tx, digest: &str) -> Result<(), Error> {
    let args = [digest.into()];
    if tx.fetch("SELECT 1 FROM asset_files WHERE digest = $1 LIMIT 1", &args).await?.is_empty() {
        tx.execute("DELETE FROM chunks WHERE digest = $1", &args).await?;
        tx.execute("DELETE FROM blobs WHERE digest = $1", &args).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::store::{Location, Spool};

    async fn count(store: &Store) -> (i64, i64) {
        let row = store.db.fetch_one("SELECT (SELECT COUNT(*) FROM blobs), (SELECT COUNT(*) FROM chunks)", &[]).await;
        let row = row.unwrap().unwrap();
        (row.int(0).unwrap(), row.int(1).unwrap())
    }

    #[tokio::test]
    async fn bytes_are_kept_once_and_as_long_as_an_asset_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::File(folder.path().join("lictor.db"))).await.unwrap();
        let document = json!({"asset_uri": "a:1-x"}).as_object().unwrap().clone();
        let bytes: Vec<u8> = (0..1_500_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let spool = Spool::new(folder.path()).await.unwrap();
        let file = spool.push(Bytes::from(bytes.clone())).await.unwrap().finish();
        let insert = async |uri: &str, id: &str| store.insert_asset(uri, id, &document, &file).await.unwrap();
        let revision = insert("a:1-x", "id-a").await.unwrap();
        assert!(insert("b:1-x", "id-b").await.is_some());
        assert_eq!(insert("a:1-x", "id-c").await, None, "the uri is taken");
        assert_eq!(count(&store).await, (1, 2));
        let stored = store.asset_file("id-a").await.unwrap().unwrap();
        assert_eq!(stored, AssetFile { digest: Digest::of(&bytes), size: 1_500_000 });
        assert!(store.blob(stored).await.unwrap().unwrap() == bytes);

        let moved = store.replace_asset(("a:1-x", revision), "c:1-x", &document).await.unwrap();
        assert!(moved.is_some());
        assert!(store.replace_asset(("c:1-x", moved.unwrap()), "b:1-x", &document).await.is_err(), "taken");
        assert!(store.asset_file("id-a").await.unwrap().is_some());

        assert!(store.remove_asset("c:1-x").await.unwrap());
        assert_eq!((count(&store).await, store.asset_file("id-a").await.unwrap()), ((1, 2), None));
        assert!(store.remove_asset("b:1-x").await.unwrap() && !store.remove_asset("b:1-x").await.unwrap());
        assert_eq!((count(&store).await, store.blob(stored).await.unwrap()), ((0, 0), None));
    }
}
