//! What a failed attempt costs, and whether there will be another one.

use domain::{Cost, Failure, Spent};

use crate::retry::Budgets;

/// What a failure asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Try again, after a wait; the attempt is journaled first.
    Retry,
    /// The lane pays: the item goes back to the queue as if it had not been tried.
    PauseLane,
    /// The record ends as failed.
    GiveUp,
}

/// Decides, and books the attempt on the record's budget where the record pays.
pub(crate) fn classify(failure: &Failure, spent: &mut Spent, budgets: &Budgets) -> Disposition {
    if failure.cost == Cost::Lane {
        return Disposition::PauseLane;
    }
    let Some(group) = failure.group() else { return Disposition::GiveUp };
    spent.add(group);
    if spent.of(group) <= budgets.of(group) { Disposition::Retry } else { Disposition::GiveUp }
}

#[cfg(test)]
mod tests {
    use domain::FailureKind;

    use super::*;

    #[test]
    fn n_retries_means_n_retries_in_each_group_for_itself() {
        let budgets = Budgets { api: 3, content: 1, system: 0 };
        let mut spent = Spent::default();
        let mut of = |kind| classify(&Failure::new(kind, ""), &mut spent, &budgets);
        assert_eq!([(); 3].map(|()| of(FailureKind::Timeout)), [Disposition::Retry; 3]);
        assert_eq!(of(FailureKind::InvalidOutput), Disposition::Retry);
        assert_eq!(of(FailureKind::Unavailable), Disposition::GiveUp);
        assert_eq!(of(FailureKind::InvalidOutput), Disposition::GiveUp);
        assert_eq!(of(FailureKind::Internal), Disposition::GiveUp);
        assert_eq!(of(FailureKind::Rejected), Disposition::GiveUp);
        let mut fresh = Spent::default();
        let declined = Failure::new(FailureKind::Refused, "");
        assert_eq!(classify(&declined.clone().finally(), &mut fresh, &budgets), Disposition::GiveUp);
        assert_eq!(fresh, Spent::default(), "what is final is charged to nobody");
        assert_eq!(classify(&declined, &mut fresh, &budgets), Disposition::Retry);
        let throttled = Failure::new(FailureKind::Throttled, "").costing_the_lane();
        assert_eq!(classify(&throttled, &mut spent, &budgets), Disposition::PauseLane);
    }
}
