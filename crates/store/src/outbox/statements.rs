//! The outbox: a transaction writes its messages for the broker into it. They are deleted once the
//! broker confirmed them.

use headway_domain::{JobUid, batches::Bitmap};

use crate::{
    db::{Durability, bulk::Conflict, keys},
    deployment::unreadable::Source,
    error::StoreError,
    ground::numbers::random_id,
    outbox::message::{OUTBOX, OutboxKind, OutboxMessage, OutboxRow, outbox_cells},
    store::Store,
};

impl Store {
    /// Forgets messages that a broker confirmed.
    pub async fn outbox_sent(&self, ids: &[i64]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let db = &self.db;
        let sql = format!("DELETE FROM outbox WHERE {}", db.is_in("outbox_id", 1));
        db.run_alone(sql, [keys::ints(ids.iter().copied())]).await?;
        Ok(())
    }

    /// Puts a request to send items into the outbox, to be published after `wait` at the earliest:
    /// their pipe takes no messages now. Until then nothing is heard of them, so their page counts
    /// as touched then.
    pub async fn defer_dispatch(
        &self,
        uid: JobUid,
        page: u32,
        run: u32,
        indexes: Bitmap,
        wait: std::time::Duration,
    ) -> Result<(), StoreError> {
        let db = &self.db;
        let message = OutboxMessage {
            id: random_id(),
            uid,
            kind: OutboxKind::Dispatch,
            page,
            run,
            attempt: 0,
            indexes,
        };
        let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        let due = db.now().saturating_add(wait);
        let cells = outbox_cells(&message, due);
        let tx = db.write(Durability::Process).await?;
        OUTBOX.write(db, &tx, vec![cells], Conflict::Fail).await?;
        db.touch_page(&tx, uid, page, due).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes messages that have been in the outbox for at least `age_us`, whose committer died or
    /// could not reach the broker: their age begins again, so that other sweepers leave them alone
    /// for as long. One that cannot be read is set aside.
    pub async fn outbox_overdue(
        &self,
        age_us: i64,
        most: u32,
    ) -> Result<Vec<OutboxMessage>, StoreError> {
        let db = &self.db;
        let tx = db.write(Durability::Process).await?;
        let now = db.now();
        let sql = format!(
            "SELECT {} FROM outbox o WHERE o.created <= $1 AND {} ORDER BY o.created LIMIT $2{}",
            OutboxRow::COLUMNS,
            db.not_set_aside(Source::Outbox, "CAST(o.outbox_id AS TEXT)", 3),
            db.skip_locked()
        );
        let values = [(now - age_us).into(), i64::from(most).into(), now.into()];
        let rows: Vec<OutboxRow> = db.all(&*tx, sql, values).await?;
        if !rows.is_empty() {
            let sql = format!(
                "UPDATE outbox SET created = $2 WHERE {}",
                db.is_in("outbox_id", 1)
            );
            db.run(
                &*tx,
                sql,
                [keys::ints(rows.iter().map(|row| row.outbox_id)), now.into()],
            )
            .await?;
        }
        tx.commit().await?;
        let mut outbox = Vec::with_capacity(rows.len());
        for row in rows {
            let key = row.outbox_id.to_string();
            match OutboxMessage::try_from(row) {
                Ok(message) => outbox.push(message),
                Err(error) => self.set_aside(Source::Outbox, &key, &error).await?,
            }
        }
        Ok(outbox)
    }

    /// How many messages are in the outbox.
    pub async fn outbox_len(&self) -> Result<i64, StoreError> {
        let count = self
            .db
            .one_int(self.db.reader(), "SELECT count(*) AS value FROM outbox", [])
            .await?;
        Ok(count.unwrap_or(0))
    }
}
