//! Statements in one transaction, for either engine.

use sqlx::{
    Connection as _, Database, Encode, Executor, FromRow, IntoArguments, Pool, SqlSafeStr as _,
    Type,
};

use super::store::Call;

/// Runs statements between `begin` and a commit, and returns the rows of each. A guard that gives
/// no row ends it without effect.
pub(super) async fn run<DB>(
    pool: &Pool<DB>,
    begin: &'static str,
    calls: Vec<Call>,
) -> Result<Vec<Vec<String>>, sqlx::Error>
where
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (String,): FromRow<'r, DB::Row>,
    for<'q> String: Encode<'q, DB> + Type<DB>,
{
    let mut connection = pool.acquire().await?;
    let answers = async {
        let mut transaction = connection.begin_with(begin.into_sql_str()).await?;
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let is_guard = call.is_guard;
            let mut query = sqlx::query_as::<DB, (String,)>(call.sql.into_sql_str());
            let followed = match call.follow {
                Some(follow) => follow(&answers).ok_or_else(unexpected)?,
                None => Vec::new(),
            };
            for argument in call.arguments.into_iter().chain(followed) {
                query = query.bind(argument);
            }
            let rows = query.fetch_all(&mut *transaction).await?;
            let is_refused = is_guard && rows.is_empty();
            answers.push(rows.into_iter().map(|(text,)| text).collect());
            if is_refused {
                transaction.rollback().await?;
                return Ok(answers);
            }
        }
        transaction.commit().await?;
        Ok(answers)
    };
    let answers = answers.await;
    if answers.is_err() {
        // Where the engine has ended the transaction by itself, a full disk for one, the connection would
        // take part in it for ever.
        connection.close_on_drop();
    }
    answers
}

/// Something stored is not what a statement behind it can be made of.
fn unexpected() -> sqlx::Error {
    sqlx::Error::Protocol("an answer of another form".to_owned())
}
