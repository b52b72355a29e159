//! Settings of the deployment, and the broker's epoch: a number that rises when a broker is found
//! to have lost its data.

use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryResult, QuerySelect, Set,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use crate::{
    db::{Db, Durability},
    deployment::setting_entity::{ActiveModel, Column, Entity, Model},
    error::StoreError,
    store::Store,
};

impl Db {
    /// Reads a setting, or sets it if it is not set.
    pub(crate) async fn setting(&self, name: &str, default: &str) -> Result<String, StoreError> {
        let tx = self.write(Durability::Full).await?;
        let new = ActiveModel {
            name: Set(name.to_owned()),
            value: Set(default.to_owned()),
        };
        let if_new = OnConflict::column(Column::Name).do_nothing().to_owned();
        self.apply(&*tx, &Entity::insert(new).on_conflict(if_new))
            .await?;
        let setting: Option<Model> = self.find_one(&*tx, &Entity::find_by_id(name)).await?;
        tx.commit().await?;
        setting
            .map(|setting| setting.value)
            .ok_or_else(|| StoreError::Broken(format!("setting {name} is gone")))
    }
}

/// The name of the setting that holds the epoch.
const EPOCH: &str = "epoch";

/// The column that [`Db::epoch_of`] reads. It belongs in the statement that reads what the epoch is
/// stamped on, or [`EPOCH_VALUE`] in the condition of the one that stamps it: a process that
/// remembered the epoch would stamp an old one after the broker lost its data, and what it sent
/// would be sent again.
pub(crate) const EPOCH_COLUMN: &str =
    "(SELECT value FROM setting WHERE name = 'epoch') AS epoch_setting";

/// What [`EPOCH_COLUMN`] is, for a condition: `NULL` before the first epoch.
pub(crate) const EPOCH_VALUE: &str = "(SELECT value FROM setting WHERE name = 'epoch')";

/// The number of the epoch in the text of its setting; 0 for an empty one.
pub(crate) fn epoch_number(setting: &str) -> Result<i64, StoreError> {
    match setting {
        "" => Ok(0),
        _ => Ok(Epoch::parse(setting)?.number),
    }
}

impl Db {
    /// The number of the broker's epoch, of a row with [`EPOCH_COLUMN`]; 0 before the first, and
    /// without a row.
    pub(crate) fn epoch_of(&self, row: Option<&QueryResult>) -> Result<i64, StoreError> {
        let Some(row) = row else { return Ok(0) };
        let setting: Option<String> = row.try_get("", "epoch_setting")?;
        epoch_number(&setting.unwrap_or_default())
    }
}

/// The broker's epoch: `number:uuid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Epoch {
    number: i64,
    mark: Uuid,
}

impl Epoch {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let parsed = text.split_once(':').and_then(|(number, mark)| {
            Some(Self {
                number: number.parse().ok()?,
                mark: Uuid::parse_str(mark).ok()?,
            })
        });
        parsed.ok_or_else(|| StoreError::Broken("the epoch setting cannot be read".to_owned()))
    }
}

impl Store {
    /// The mark that the broker should hold, if an epoch was begun.
    pub async fn epoch_mark(&self) -> Result<Option<Uuid>, StoreError> {
        let db = &self.db;
        let setting: Option<Model> = db
            .find_one(db.work_reader(), &Entity::find_by_id(EPOCH))
            .await?;
        setting
            .map(|setting| Ok(Epoch::parse(&setting.value)?.mark))
            .transpose()
    }

    /// Begins a new epoch under a mark that the broker holds already, unless somebody else did
    /// since `seen` was read. The mark of the epoch that holds now.
    pub async fn begin_epoch(&self, seen: Option<Uuid>, planted: Uuid) -> Result<Uuid, StoreError> {
        let db = &self.db;
        let first = Epoch {
            number: 0,
            mark: Uuid::nil(),
        };
        db.setting(EPOCH, &format!("{}:{}", first.number, first.mark))
            .await?;
        let tx = db.write(Durability::Full).await?;
        let setting: Option<Model> = db
            .find_one(&*tx, &Entity::find_by_id(EPOCH).lock_exclusive())
            .await?;
        let present = setting.map_or(Ok(first), |setting| Epoch::parse(&setting.value))?;
        if present.mark != seen.unwrap_or(Uuid::nil()) {
            return Ok(present.mark);
        }
        let next = Epoch {
            number: present.number + 1,
            mark: planted,
        };
        let value = format!("{}:{}", next.number, next.mark);
        let update = Entity::update_many()
            .col_expr(Column::Value, Expr::value(value))
            .filter(Column::Name.eq(EPOCH));
        db.apply(&*tx, &update).await?;
        tx.commit().await?;
        Ok(next.mark)
    }
}
