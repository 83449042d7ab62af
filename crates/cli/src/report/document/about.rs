//! When the run was worked on, what it wrote, and its pipeline.

use super::{Block, Cell, Section, Setting, Table, cell, figures::moment, number, text};
use crate::{
    progress::thousands,
    report::{
        facts::ProcessEnd,
        words::{fill, filled},
    },
};

impl Setting<'_> {
    pub(super) fn time(&self) -> Option<Section> {
        /// More are not told one by one on paper.
        const TOLD: usize = 20;
        let (words, time) = (self.words, &self.report.time);
        if time.processes == 0 {
            return None;
        }
        let (n, working) = (("n", thousands(time.processes)), ("working", words.duration(time.working_ms)));
        let mut blocks = vec![Block::Text(match time.processes {
            1 => filled(words.time_process, &[working]),
            _ => filled(words.time_processes, &[n, working, ("wall", words.duration(time.wall_ms))]),
        })];
        for (sentence, n) in [(words.time_killed, time.killed), (words.time_asked_again, time.asked_again_after_crash)]
        {
            if n > 0 {
                blocks.push(Block::Text(filled(sentence, &[("n", thousands(n))])));
            }
        }
        let columns = vec![
            text(words.process_begun),
            text(words.process_ended),
            number(words.process_time),
            number(words.settled),
            text(words.process_end),
        ];
        let rows = time.by_process.iter().take(TOLD).map(|process| {
            let end = match (process.end, &process.said) {
                (ProcessEnd::Running, _) => words.process_running.to_owned(),
                (ProcessEnd::Finished, _) => words.process_finished.to_owned(),
                // What it says of itself is often no more than that it stopped.
                (ProcessEnd::Stopped, Some(said)) if said != "stopped" => fill(words.process_stopped, &[("why", said)]),
                (ProcessEnd::Stopped, _) => words.process_stopped_plain.to_owned(),
                (ProcessEnd::Killed, _) => words.process_killed.to_owned(),
            };
            vec![
                cell(moment(&process.begun)),
                cell(moment(&process.last)),
                cell(words.duration(process.ms)),
                cell(thousands(process.settled)),
                cell(end),
            ]
        });
        blocks.push(Block::Table(Table { columns, rows: rows.collect() }));
        let more = time.processes.saturating_sub(time.by_process.len().min(TOLD) as u64);
        if more > 0 {
            blocks.push(Block::Text(filled(words.processes_more, &[("n", thousands(more))])));
        }
        Some(self.section(words.time_heading, "", blocks))
    }

    pub(super) fn outputs(&self) -> Option<Section> {
        let (words, outputs) = (self.words, &self.report.outputs);
        if outputs.is_empty() {
            return None;
        }
        let columns = vec![text(words.file), number(words.records), number(words.bytes), text("SHA-256")];
        let rows = outputs.iter().map(|output| {
            vec![
                Cell::Code(output.path.clone()),
                cell(thousands(output.records)),
                cell(thousands(output.bytes)),
                Cell::Code(output.sha256.clone()),
            ]
        });
        let table = Block::Table(Table { columns, rows: rows.collect() });
        Some(self.section(words.outputs_heading, "", vec![table]))
    }

    pub(super) fn pipeline(&self) -> Option<Section> {
        let (words, report) = (self.words, self.report);
        let note = fill(words.pipeline_note, &[("file", &report.run.file)]);
        Some(self.section(words.pipeline_heading, &note, vec![Block::Code("yaml", report.pipeline_file.clone())]))
    }
}
