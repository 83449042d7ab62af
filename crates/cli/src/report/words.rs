//! Every sentence of a report, in one table: English and Chinese side by side. Words of the glossary are used as it has them.
//!
//! A name in braces stands for a value; both languages have the same ones. Words that are keys in files and flags (kinds
//! of failure, reasons) are the same in every language; what they mean is told beside them.

use domain::{FailureKind, Reason, SkipReason};

use crate::language::Language;

impl Language {
    /// Returns the words of the language.
    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

macro_rules! words {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// The words of one language.
        pub(super) struct Words {
            $(pub(super) $name: &'static str,)*
        }

        static ENGLISH: Words = Words { $($name: $english,)* };
        static CHINESE: Words = Words { $($name: $chinese,)* };

        #[cfg(test)]
        const TABLE: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

words! {
    language_tag: "en", "zh-CN";
    title: "Report of run {run}", "运行 {run} 的报告";
    of_pipeline: "Pipeline {pipeline}, begun {begun}, by Tidemill {version}.", "流水线 {pipeline}，开始于 {begun}，Tidemill {version}。";

    // Where the run stands.
    running: "running", "运行中";
    interrupted: "interrupted", "已中断";
    done: "done", "已完成";
    running_long: "A process works on it. This is what its journal held at {last}; the numbers are not the last ones.",
        "有进程正在处理这次运行。以下是运行日志截至 {last} 的内容，数字还会变化。";
    interrupted_long: "It is not finished. This is what its journal holds, up to {last}; the same `tidemill run` goes on with it.",
        "这次运行尚未完成。以下是运行日志截至 {last} 的内容；再次执行同样的 `tidemill run` 即可继续。";
    empty_long: "Nothing has happened yet: its journal is empty.", "还没有任何进展：运行日志是空的。";
    done_long: "Every record has its end, and the outputs are in place.", "每条记录都有了结局，输出已全部就位。";
    limited: "It works on the first {n} records of each source only (`--limit`).", "只处理每个数据源的前 {n} 条记录（`--limit`）。";

    // Alarms.
    simulated: "SIMULATED: the built-in scripted vendor answered as {models}. Nothing that it answered comes from a model.",
        "模拟数据：内置的模拟供应商以 {models} 的名义作答。这些回答没有一条来自真实模型。";
    does_not_add_up: "THE COUNTS DO NOT ADD UP: step {step} has {settled} records with an end, and {records} were expected. Keep the run's folder, and report this.",
        "数目对不上：步骤 {step} 有 {settled} 条记录有结局，而应有 {records} 条。请保留该运行的目录并报告此问题。";
    does_not_agree: "THE COUNTS DO NOT AGREE: of step {step}, the journal's entries tell {ends} ends and its index {settled}. Keep the run's folder, and report this.",
        "数目不一致：步骤 {step} 的运行日志条目中有 {ends} 个结局，而索引中有 {settled} 个。请保留该运行的目录并报告此问题。";
    damaged_alarm: "A PART OF THE JOURNAL CANNOT BE READ: {stretches} stretches, {bytes} bytes. What they held is not in this report.",
        "运行日志有一部分无法读取：{stretches} 处，共 {bytes} 字节。其中的内容未计入本报告。";
    damaged_at: "{file}, at {offset}: {bytes} bytes", "{file}，偏移 {offset}：{bytes} 字节";

    // Tiles.
    succeeded: "succeeded", "成功";
    failed: "failed", "失败";
    skipped: "skipped", "跳过";
    cancelled: "cancelled", "已取消";
    missing: "missing", "缺失";
    unsettled: "not settled", "未落定";
    of_records: "of {n} records", "共 {n} 条记录";
    settled_so_far: "of {n} settled so far", "目前已落定 {n} 条";
    wall_time: "elapsed", "历时";
    working_time: "{time} of it at work", "其中工作 {time}";
    records_per_second: "records per second", "条记录/秒";
    peak: "at most {n} in {time}", "每 {time}最多 {n} 条";
    logarithmic: "{title} (logarithmic scale)", "{title}（对数刻度）";
    most_answers: "at most {n} answers in a bar", "每格最多 {n} 个回答";
    tokens: "tokens", "token 数";
    tokens_in_out: "{prompt} in, {completion} out", "输入 {prompt}，输出 {completion}";
    cost: "cost", "费用";
    cost_per_1000: "{cost} per 1,000 that succeeded", "每 1,000 条成功记录 {cost}";

    // Records.
    records_heading: "What became of the records", "记录的结局";
    records_note: "By the last outcome of each record.", "按每条记录的最后一次结局统计。";
    step: "step", "步骤";
    records: "records", "记录";
    settled: "settled", "已落定";
    all_steps: "all steps", "全部步骤";
    not_known_yet: "not known yet", "尚未可知";
    adds_up: "They add up: {ends} = {records} records.", "账目相符：{ends} = {records} 条记录。";
    adds_up_open: "Together with {unsettled} that have no end yet they add up: {ends} = {records} records.",
        "连同 {unsettled} 条尚无结局的记录，账目相符：{ends} = {records} 条记录。";
    adds_up_unknown: "So far {settled} records have an end: {ends}. How many there are in all is told when the outputs are written.",
        "目前有 {settled} 条记录有结局：{ends}。总数要到写出输出时才能确定。";
    surplus: "{n} candidates came in beyond those that were wanted (`until_accepted`).", "另有 {n} 个候选超出所需数量（`until_accepted`）。";
    short: "{n} records have fewer accepted answers than were asked for (`until_accepted`).", "{n} 条记录被接受的回答少于要求的数量（`until_accepted`）。";
    duplicates: "{n} took the answer to another record's identical request (`dedupe`).", "{n} 条沿用了另一条记录相同请求的回答（`dedupe`）。";
    reparsed: "{n} had their answer judged again by later rules (`reparse`).", "{n} 条的回答按后来的规则重新解析过（`reparse`）。";
    restored: "{n} were restored: their answer was taken back from the live output, because the journal's copy is damaged.",
        "{n} 条已还原：运行日志中的副本损坏，回答取自实时输出。";
    damaged_records: "{n} have an outcome that cannot be read.", "{n} 条的结局无法读取。";

    // Failures.
    failures_heading: "Failures", "失败";
    failures_none: "No record failed.", "没有失败的记录。";
    failures_note: "Records whose last outcome is a failure; up to three examples of each kind.",
        "最后一次结局为失败的记录；每种类型最多三个例子。";
    skips_heading: "Skipped", "跳过";
    skips_note: "Records that were not worked on.", "未处理的记录。";
    kind: "kind", "失败类型";
    reason: "reason", "原因";
    count: "count", "数量";
    share: "share", "占比";
    meaning: "meaning", "含义";
    example_of: "Examples: {why} ({n})", "例子：{why}（{n} 条）";
    example_line: "line {line}", "第 {line} 行";
    example_part: "{part}, line {line}", "{part}，第 {line} 行";
    example_sample: "sample {n}", "采样 {n}";
    example_attempts: "{n} attempts", "{n} 次尝试";
    example_attempt: "1 attempt", "1 次尝试";
    example_answer: "The answer:", "回答：";

    // Attempts.
    attempts_heading: "Attempts", "尝试";
    attempts_note: "All attempts that counted, over all processes. Being throttled is none.", "所有进程中计数的全部尝试。被限流不算尝试。";
    attempts_total: "{n} attempts, of which {retried} failed and were followed by another one.", "共 {n} 次尝试，其中 {retried} 次失败后又重试。";

    // Money.
    bill_heading: "Tokens and cost", "用量与费用";
    bill_note: "All answers that were billed: those of failed attempts, and of records that were asked again, included.",
        "包括所有计费的回答：失败的尝试以及重新询问的记录也计算在内。";
    bill_none: "No answer told how many tokens it was billed for.", "没有回答告知其计费的 token 数。";
    upstream: "upstream", "上游";
    unknown_upstream: "(not told)", "（未告知）";
    simulated_upstream: "{name} (simulated)", "{name}（模拟）";
    answers: "answers", "回答";
    prompt_tokens: "prompt", "输入";
    cached_tokens: "cached", "其中缓存";
    completion_tokens: "completion", "输出";
    reasoning_tokens: "reasoning", "其中推理";
    cost_total: "{cost} in all, {per_1000} for every 1,000 records that succeeded.", "合计 {cost}，每 1,000 条成功记录 {per_1000}。";
    no_price_known: "no price", "无价格";
    unpriced: "{n} tokens are of upstreams without a price in the models file; they are not in the cost.",
        "有 {n} 个 token 来自模型文件中没有价格的上游，未计入费用。";
    unbilled: "{n} answers did not tell their tokens; they are not in these numbers.", "{n} 条回答没有告知 token 数，未计入这些数字。";
    models_answered: "Answered as: {models}.", "作答的模型：{models}。";

    // Dedupe.
    dedupe_heading: "What asking once has saved", "去重节省";
    dedupe_text: "{n} requests were not sent, because an identical one had been answered: {tokens} tokens were not billed.",
        "有 {n} 个请求因相同请求已有回答而未发送：少计费 {tokens} 个 token。";
    dedupe_cost: "They would have cost {cost}.", "它们本应花费 {cost}。";

    // Latency.
    latency_heading: "Latency", "延迟";
    latency_note: "From send to the whole answer, of all answers. Percentiles are off by 0.8 % at most.",
        "从发送到收到完整回答，统计全部回答。百分位数误差不超过 0.8%。";
    latency_plot: "Answers by latency", "回答按延迟的分布";
    mean: "mean", "平均";
    maximum: "max", "最大";
    minimum: "min", "最小";

    // Rate.
    rate_heading: "Records over time", "记录随时间的变化";
    rate_note: "Records settled in each {bucket}, from the first entry of the journal to the last; each outcome when it came.",
        "从运行日志的第一个条目到最后一个条目，每 {bucket} 落定的记录数；每个结局按其到达的时间计。";
    rate_text: "{rate} records per second while a process was at work.", "有进程工作期间每秒 {rate} 条记录。";
    rate_plot: "Records settled over time", "落定的记录随时间的变化";
    process_began: "a process began", "进程开始";

    // Answers.
    answers_heading: "Answers", "回答";
    answers_note: "Of all answers, those of failed attempts included.", "统计全部回答，包括失败的尝试。";
    length_tokens: "length in tokens", "长度（token）";
    length_characters: "length in characters", "长度（字符）";
    speed: "tokens per second of one answer", "单个回答每秒 token 数";
    speed_of: "tokens per second of one answer: {upstream}", "单个回答每秒 token 数：{upstream}";
    throughput: "{n} tokens per second in all, request and answer together, while a process was at work.",
        "有进程工作期间每秒共 {n} 个 token（请求与回答合计）。";
    length_plot_tokens: "Answers by length in tokens", "回答按 token 数的分布";
    length_plot_characters: "Answers by length in characters", "回答按字符数的分布";
    finish_reason: "why the model stopped", "模型停止的原因";

    // Processes.
    time_heading: "When", "时间";
    time_processes: "{n} processes worked on it, for {working} in all; {wall} lie between the first entry and the last.",
        "共有 {n} 个进程处理过，合计工作 {working}；首末条目相隔 {wall}。";
    time_process: "1 process worked on it, for {working}.", "有 1 个进程处理过，工作了 {working}。";
    time_killed: "{n} of them ended without a word (killed, or lost with the machine).", "其中 {n} 个没有留下结束记录（被杀死，或随机器一起丢失）。";
    time_asked_again: "{n} requests were asked again, because their answers were lost with a process.",
        "有 {n} 个请求因回答随进程丢失而重新询问。";
    process_begun: "begun", "开始";
    process_ended: "last entry", "最后条目";
    process_time: "time", "时长";
    process_end: "end", "结束方式";
    process_running: "at work", "工作中";
    process_finished: "finished", "完成";
    process_stopped: "stopped ({why})", "停止（{why}）";
    process_stopped_plain: "stopped", "停止";
    process_killed: "killed", "被杀死";
    processes_more: "and {n} more", "另有 {n} 个";

    // The rest.
    outputs_heading: "Outputs", "输出";
    file: "file", "文件";
    bytes: "bytes", "字节";
    pipeline_heading: "The pipeline", "流水线";
    pipeline_note: "The pipeline file {file} as the run used it. Keys never stand in it.", "该运行使用的流水线文件 {file}。密钥不会出现在其中。";
    how_to_read_heading: "How to read this", "如何阅读";
    how_to_read: "Made from the run's journal alone. Counts of records, failures and skips are of the last outcome of each record; attempts, tokens, cost, latency and lengths are of all answers that came, whatever became of their records. Times are UTC.",
        "本报告仅由运行日志生成。记录、失败和跳过的数目按每条记录的最后一次结局统计；尝试、token、费用、延迟和长度统计所有到达的回答，无论其记录结局如何。时间均为 UTC。";

    // What differs between two runs.
    difference_title: "What differs between run {a} (A) and run {b} (B)", "运行 {a}（A）与运行 {b}（B）的差异";
    difference_parts_note: "What decides answers: the parts of the pipeline that differ, and the two files line by line.",
        "决定回答的内容：流水线中有差异的部分，以及两个文件的逐行比较。";
    difference_no_parts: "Nothing that decides answers differs.", "决定回答的内容没有差异。";
    difference_same_file: "The pipeline files are the same.", "流水线文件相同。";
    difference_part: "part", "部分";
    difference_change: "change", "变化";
    difference_changed: "changed", "已更改";
    difference_only_a: "only in A", "仅 A 有";
    difference_only_b: "only in B", "仅 B 有";
    difference_counts_heading: "Side by side", "并列比较";
    difference_run: "run", "运行";
    difference_per_1000: "cost per 1,000 that succeeded", "每 1,000 条成功记录费用";
    difference_p50: "latency p50", "延迟 p50";
    difference_p90: "latency p90", "延迟 p90";
    difference_working: "time at work", "工作时间";
    difference_records_heading: "Record by record", "逐条比较";
    difference_records_note: "Records with the same step, part, position and sample, by the last outcome of each.",
        "比较步骤、分部、位置和采样都相同的记录，按每条记录的最后一次结局。";
    difference_common: "{common} records are settled in both, {only_a} in A only, {only_b} in B only.",
        "两者都已落定 {common} 条记录，仅 A 有 {only_a} 条，仅 B 有 {only_b} 条。";
    difference_other_content: "{n} of them are other records: the source says something else there. They are not compared.",
        "其中 {n} 条记录的内容不同：数据源在该处已改变。这些记录不作比较。";
    difference_unreadable: "{n} of them have an outcome that cannot be read.", "其中 {n} 条的结局无法读取。";
    difference_answers: "{compared} succeeded in both: {equal} answers are equal, {different} differ.",
        "两者都成功的有 {compared} 条：{equal} 个回答相同，{different} 个不同。";
    difference_field: "field", "字段";
    difference_examples: "Answers that differ", "不同的回答";
    difference_end_examples: "Records that ended in another way", "结局不同的记录";

    // Durations, amounts and lists.
    hours: "{h} h {m} min", "{h} 小时 {m} 分";
    minutes: "{m} min {s} s", "{m} 分 {s} 秒";
    seconds: "{s} s", "{s} 秒";
    milliseconds: "{ms} ms", "{ms} 毫秒";
    comma: ", ", "、";
    because: "{what}: {why}", "{what}：{why}";

    // Kinds of failure.
    kind_throttled: "the upstream asked us to slow down", "上游要求放慢速度";
    kind_unavailable: "the upstream could not be reached, or is broken", "无法连接上游，或上游出错";
    kind_timeout: "no answer within the deadline", "在截止时间内没有回答";
    kind_invalid_output: "an answer came, and is not what was asked for", "有回答，但不符合要求";
    kind_refused: "the model declined", "模型拒绝回答";
    kind_rejected: "the upstream says that the request itself is wrong", "上游认为请求本身有误";
    kind_unauthorized: "the key is not accepted", "密钥未被接受";
    kind_exhausted_credit: "the account has no credit left", "账户余额已用完";
    kind_write_rejected: "the sink did not take the answer", "输出端没有接收回答";
    kind_conflict: "the record was changed by someone else", "记录已被他人修改";
    kind_missing: "a remote object came back without the record", "远端对象返回时缺少该记录";
    kind_internal: "a fault of Tidemill itself", "Tidemill 自身的故障";
    kind_not_accepted: "the pipeline's own predicate turned the candidate down", "候选被流水线自己的条件否决";

    // Why an answer is not what was asked for.
    reason_length: "cut off at the limit of tokens", "达到 token 上限被截断";
    reason_empty: "empty", "空回答";
    reason_no_json: "no JSON in it", "其中没有 JSON";
    reason_schema: "a field is missing or has a wrong value", "缺少字段或字段值不合要求";
    reason_missing_think: "the thought is missing", "缺少思考部分";
    reason_pattern: "the text breaks the pattern", "文本不符合模式";
    reason_tool_call: "asked for a tool that it does not have", "要求调用不存在的工具";
    reason_declined: "declined in its answer", "在回答中拒绝";
    reason_filtered: "stopped by the upstream's content filter", "被上游的内容过滤器拦截";

    // Why a record was skipped.
    skip_blank: "the line is empty", "空行";
    skip_bad_text: "not valid text in the source's encoding", "按数据源的编码不是有效文本";
    skip_bad_record: "not a record in the source's format", "不符合数据源格式的记录";
    skip_too_long: "longer than the configured limit", "超过配置的长度上限";
    skip_missing_field: "a field that the work needs is not there", "缺少工作所需的字段";
    skip_duplicate_key: "its user key stands in an earlier record", "用户键与之前的记录重复";
    skip_name_taken: "it has a field of the new field's name already", "已有与新字段同名的字段";
    skip_filtered: "left out by the pipeline's filter", "被流水线的过滤条件排除";
    skip_answered: "its answer columns hold something already", "答案列已有内容";
}

impl Words {
    /// Returns what a kind of failure means.
    pub(super) fn kind_means(&self, kind: FailureKind) -> &'static str {
        match kind {
            FailureKind::Throttled => self.kind_throttled,
            FailureKind::Unavailable => self.kind_unavailable,
            FailureKind::Timeout => self.kind_timeout,
            FailureKind::InvalidOutput => self.kind_invalid_output,
            FailureKind::Refused => self.kind_refused,
            FailureKind::Rejected => self.kind_rejected,
            FailureKind::Unauthorized => self.kind_unauthorized,
            FailureKind::ExhaustedCredit => self.kind_exhausted_credit,
            FailureKind::WriteRejected => self.kind_write_rejected,
            FailureKind::Conflict => self.kind_conflict,
            FailureKind::Missing => self.kind_missing,
            FailureKind::Internal => self.kind_internal,
            FailureKind::NotAccepted => self.kind_not_accepted,
        }
    }

    /// Returns what the reason of a refuted answer means.
    pub(super) fn reason_means(&self, reason: Reason) -> &'static str {
        match reason {
            Reason::Length => self.reason_length,
            Reason::Empty => self.reason_empty,
            Reason::NoJson => self.reason_no_json,
            Reason::Schema => self.reason_schema,
            Reason::MissingThink => self.reason_missing_think,
            Reason::Pattern => self.reason_pattern,
            Reason::ToolCall => self.reason_tool_call,
            Reason::Declined => self.reason_declined,
            Reason::Filtered => self.reason_filtered,
        }
    }

    /// Returns what the reason of a skip means.
    pub(super) fn skip_means(&self, reason: SkipReason) -> &'static str {
        match reason {
            SkipReason::Blank => self.skip_blank,
            SkipReason::BadText => self.skip_bad_text,
            SkipReason::BadRecord => self.skip_bad_record,
            SkipReason::TooLong => self.skip_too_long,
            SkipReason::MissingField => self.skip_missing_field,
            SkipReason::DuplicateKey => self.skip_duplicate_key,
            SkipReason::NameTaken => self.skip_name_taken,
            SkipReason::Filtered => self.skip_filtered,
            SkipReason::Answered => self.skip_answered,
        }
    }

    /// Writes a length of time in milliseconds.
    pub(super) fn duration(&self, ms: u64) -> String {
        let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        if hours > 0 {
            return fill(self.hours, &[("h", &hours.to_string()), ("m", &minutes.to_string())]);
        }
        if minutes > 0 {
            return fill(self.minutes, &[("m", &minutes.to_string()), ("s", &seconds.to_string())]);
        }
        if ms >= 1000 {
            return fill(self.seconds, &[("s", &format!("{:.1}", ms as f64 / 1000.0))]);
        }
        fill(self.milliseconds, &[("ms", &ms.to_string())])
    }
}

/// Puts values in the place of names in braces. What a value holds is not looked at again.
pub(super) fn fill(sentence: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(sentence.len() + 32);
    let mut rest = sentence;
    while let Some((before, behind)) = rest.split_once('{') {
        filled.push_str(before);
        let (name, behind) = behind.split_once('}').unwrap_or((behind, ""));
        if let Some((_, value)) = values.iter().find(|(other, _)| *other == name) {
            filled.push_str(value);
        } else {
            debug_assert!(false, "nothing is given for `{name}` in `{sentence}`");
        }
        rest = behind;
    }
    filled.push_str(rest);
    filled
}

/// As [`fill`], with values that were made for it.
pub(super) fn filled(sentence: &str, values: &[(&str, String)]) -> String {
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fill(sentence, &values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sentence: &str) -> Vec<&str> {
        let mut names: Vec<&str> =
            sentence.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn both_languages_say_the_same_with_the_same_values() {
        for (name, english, chinese) in TABLE {
            assert_eq!(names(english), names(chinese), "`{name}`");
            assert!(
                english.is_ascii() || english.chars().all(|c| c as u32 <= 0x2100),
                "`{name}` is English: {english}"
            );
            // What is left without the values; a tag, a separator or a colon is no word.
            let bare: String =
                english.split('{').map(|rest| rest.split_once('}').map_or(rest, |(_, rest)| rest)).collect();
            let is_no_word = *name == "language_tag" || bare.chars().all(|c| !c.is_alphabetic());
            let has_chinese = chinese.chars().any(|c| ('\u{3000}'..='\u{9fff}').contains(&c));
            assert!(is_no_word || has_chinese, "`{name}` is Chinese: {chinese}");
            // What is code is the same in both.
            let code = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(code(english), code(chinese), "`{name}`");
        }
    }

    #[test]
    fn a_value_is_put_in_as_it_is() {
        assert_eq!(fill("{a} and {b}.", &[("a", "{b}"), ("b", "2")]), "{b} and 2.");
    }

    #[test]
    fn durations_are_written_for_people() {
        for (ms, english, chinese) in [
            (0, "0 ms", "0 毫秒"),
            (999, "999 ms", "999 毫秒"),
            (1_250, "1.2 s", "1.2 秒"),
            (61_000, "1 min 1 s", "1 分 1 秒"),
            (7_384_000, "2 h 3 min", "2 小时 3 分"),
        ] {
            assert_eq!((ENGLISH.duration(ms).as_str(), CHINESE.duration(ms).as_str()), (english, chinese));
        }
    }
}
