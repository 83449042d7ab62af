//! Writing HTML that is well-formed by construction, and in which text from data is nothing but text.

/// A page in the making.
#[derive(Default)]
pub(super) struct Page {
    out: String,
}

/// The attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Returns the page.
    pub(super) fn finish(self) -> String {
        format!("<!DOCTYPE html>\n{}\n", self.out)
    }

    /// Writes an element around whatever `inside` writes.
    pub(super) fn within(&mut self, name: &str, attributes: Attributes<'_>, inside: impl FnOnce(&mut Self)) {
        self.begin(name, attributes);
        self.out.push('>');
        inside(self);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// Writes an element without content.
    pub(super) fn empty(&mut self, name: &str, attributes: Attributes<'_>) {
        self.begin(name, attributes);
        self.out.push_str("/>");
    }

    /// Writes an element that holds a text.
    pub(super) fn element(&mut self, name: &str, attributes: Attributes<'_>, text: &str) {
        self.within(name, attributes, |page| page.text(text));
    }

    /// Writes text.
    pub(super) fn text(&mut self, text: &str) {
        escape(text, &mut self.out);
    }

    /// Writes text in which backticks enclose code.
    pub(super) fn sentence(&mut self, text: &str) {
        let mut pieces = text.split('`').peekable();
        let mut is_code = false;
        while let Some(piece) = pieces.next() {
            // The last backtick may have no partner: then it is one.
            if is_code && pieces.peek().is_none() {
                self.text("`");
                self.text(piece);
            } else if is_code {
                self.element("code", &[], piece);
            } else {
                self.text(piece);
            }
            is_code = !is_code;
        }
    }

    /// Begins a new line, for whoever reads the source.
    pub(super) fn line(&mut self) {
        self.out.push('\n');
    }

    /// Writes our own style sheet as it is: it holds nothing that could end it.
    pub(super) fn style(&mut self, css: &'static str) {
        self.out.push_str("<style>\n");
        self.out.push_str(css);
        self.out.push_str("</style>");
    }

    fn begin(&mut self, name: &str, attributes: Attributes<'_>) {
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape(value, &mut self.out);
            self.out.push('"');
        }
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Control characters are not allowed in HTML, in whatever way they are written.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_data_is_text() {
        let mut page = Page::default();
        page.within("p", &[("title", "\"><script>")], |page| {
            page.sentence("a `<b>` & 'c' ` d\u{0}");
            page.empty("br", &[]);
        });
        let expected =
            "<p title=\"&quot;&gt;&lt;script&gt;\">a <code>&lt;b&gt;</code> &amp; &#39;c&#39; ` d\u{fffd}<br/></p>";
        assert_eq!(page.out, expected);
    }
}
