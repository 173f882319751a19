//! Rows and columns, as aligned text or as Markdown.

/// A table with titles.
pub(crate) struct Table(Vec<Vec<String>>);

impl Table {
    pub(crate) fn new<const N: usize>(titles: [&str; N]) -> Self {
        Self(vec![titles.map(str::to_owned).to_vec()])
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.0.push(cells.to_vec());
    }

    /// Whether there is nothing under the titles.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() < 2
    }

    /// With columns as wide as their widest cell.
    pub(crate) fn as_text(&self) -> String {
        let width = |n: usize| self.0.iter().filter_map(|row| Some(row.get(n)?.chars().count())).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.0.first().map_or(0, Vec::len)).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("  {cell:<width$}"));
            cells.collect::<String>().trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).filter(|line| !line.trim().is_empty()).collect()
    }

    pub(crate) fn as_markdown(&self) -> String {
        let line = |row: &Vec<String>| {
            let cells = row.iter().map(|cell| format!(" {} ", cell.replace('|', "\\|"))).collect::<Vec<_>>();
            format!("|{}|\n", cells.join("|"))
        };
        let mut lines = self.0.iter().map(line);
        let titles = lines.next().unwrap_or_default();
        let under = format!("|{}\n", "---|".repeat(self.0.first().map_or(0, Vec::len)));
        [titles, under].into_iter().chain(lines).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    fn table() -> Table {
        let mut table = Table::new(["what", "µs"]);
        table.row(["a|b".into(), "1".into()]);
        table.row(["longer".into(), "22".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        assert_eq!(table().as_text(), "  what    µs\n  a|b     1\n  longer  22\n");
    }

    #[test]
    fn a_bar_does_not_end_a_cell() {
        assert_eq!(table().as_markdown(), "| what | µs |\n|---|---|\n| a\\|b | 1 |\n| longer | 22 |\n");
    }

    #[test]
    fn titles_alone_are_no_table() {
        assert!(Table::new(["what"]).is_empty() && !table().is_empty());
    }
}
