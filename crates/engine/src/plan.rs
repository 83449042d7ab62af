//! From a record to its work: the part of a record's life that has no effects.

use domain::{
    Failure, Planned, Read, Record, SkipReason, Unplanned,
    ports::{Handler, KeyTable, KeyTableError, Source},
};

/// What becomes of a record.
pub(crate) enum Plan {
    /// Work.
    Work(Record, Planned),
    /// It is settled without work.
    Skip(Record, SkipReason, String),
    /// It has failed before any attempt.
    Fail(Record, Failure),
}

/// Looks into a record, checks its user key, and renders its work.
pub(crate) fn plan(
    read: Read,
    source: &dyn Source,
    handler: &dyn Handler,
    keys: Option<&mut Box<dyn KeyTable>>,
) -> Result<Plan, KeyTableError> {
    let Read { record, flaw, .. } = read;
    if let Some((reason, message)) = flaw {
        return Ok(Plan::Skip(record, reason, message));
    }
    let inspected = match source.inspect(&record) {
        Ok(inspected) => inspected,
        Err((reason, message)) => return Ok(Plan::Skip(record, reason, message)),
    };
    if let (Some(keys), Some(user_key)) = (keys, inspected.user_key)
        && let Some(earlier) = keys.insert(&user_key, (record.key.part, record.key.position))?
        && earlier != (record.key.part, record.key.position)
    {
        let (place, (part, position)) = (source.place_of(&record), earlier);
        let (part, number) = (source.part(part), position + 1);
        let message = format!(
            "{place}: record {number} of {part} has the key `{user_key}` already; make keys unique, or leave `key:` out"
        );
        return Ok(Plan::Skip(record, SkipReason::DuplicateKey, message));
    }
    Ok(match handler.plan(&record) {
        Ok(planned) => Plan::Work(record, planned),
        Err(Unplanned::Skip(reason, what)) => {
            let message = format!("{}: {what}", source.place_of(&record));
            Plan::Skip(record, reason, message)
        }
        Err(Unplanned::Fail(mut failure)) => {
            failure.message = format!("{}: {}", source.place_of(&record), failure.message);
            Plan::Fail(record, failure)
        }
    })
}

/// Plans another sample of a record of which one was planned before. What cannot be planned has been told with the first.
pub(crate) fn again(record: Record, handler: &dyn Handler) -> Option<(Record, Planned)> {
    let planned = handler.plan(&record).ok()?;
    Some((record, planned))
}
