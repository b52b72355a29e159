//! Times of pages and items that move without their job's lock.

use headway_domain::{JobUid, Micros};
use uuid::Uuid;

use crate::{
    db::{Db, Tx},
    error::StoreError,
};

impl Db {
    /// Lets a page count as touched at a time, unless it was touched later.
    pub(crate) async fn touch_page(
        &self,
        tx: &Tx<'_>,
        uid: JobUid,
        page: u32,
        time: Micros,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE page SET touched = $1 WHERE job_key = (SELECT job_key FROM job WHERE uid = $2) AND number = $3 \
                   AND touched < $1";
        let values = [
            time.into(),
            uid.0.as_bytes().to_vec().into(),
            i64::from(page).into(),
        ];
        self.run(&**tx, sql, values).await?;
        Ok(())
    }

    /// Moves the end of every lease of a worker's session; how many there are.
    pub(crate) async fn move_leases(
        &self,
        tx: &Tx<'_>,
        session: Uuid,
        until: Micros,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE item SET lease_until = $2 WHERE lease_session = $1 AND lease_until > 0";
        let values = [session.as_bytes().to_vec().into(), until.into()];
        self.run(&**tx, sql, values).await
    }
}
