//! Writing what UpdateJob changes of a job.

use headway_domain::jobs::JobMeta;

use crate::{
    db::{Db, Tx, bulk::Conflict},
    error::StoreError,
    slice::rows::job::{LABEL, label_cells},
};

impl Db {
    /// Writes the spec and the labels of a job where they changed.
    pub(crate) async fn write_spec(
        &self,
        tx: &Tx<'_>,
        before: &JobMeta,
        changed: &JobMeta,
    ) -> Result<(), StoreError> {
        if changed.version != before.version {
            let spec = serde_json::to_string(&changed.spec)
                .map_err(|error| StoreError::Refused(error.to_string()))?;
            let sql = "UPDATE job SET spec = $2, version = $3 WHERE job_key = $1";
            let values = [
                changed.key.into(),
                spec.into(),
                i64::from(changed.version).into(),
            ];
            self.run(&**tx, sql, values).await?;
        }
        if changed.spec.labels != before.spec.labels {
            let sql = "DELETE FROM label WHERE job_key = $1";
            self.run(&**tx, sql, [changed.key.into()]).await?;
            let labels = label_cells(changed).collect();
            LABEL.write(self, tx, labels, Conflict::Fail).await?;
        }
        Ok(())
    }
}
