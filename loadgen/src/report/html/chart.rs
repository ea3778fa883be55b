//! Charts as SVG. Colours are classes, which the page defines for light and dark.

use std::fmt::Write;

use super::scale::{Quantity, Scale, Spread};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Room for labels around the area of the lines.
const LEFT: f64 = 78.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 54.0;
/// There are so many colours; a seventh line has the first one's, dashed.
const COLOURS: usize = 6;
/// More points than this are too many to point at: then only the line is drawn.
const POINTS_MAX: usize = 400;
const DOT_ROW: f64 = 34.0;
/// Room for a letter of a row's name, and for how many.
const LETTER: f64 = 7.2;
const LETTERS_MAX: usize = 44;
const DOT_RIGHT: f64 = 120.0;

/// An axis with what it shows.
pub(crate) struct Axis {
    pub(crate) title: &'static str,
    pub(crate) spread: Spread,
    pub(crate) quantity: Quantity,
}

/// One line of a chart.
pub(crate) struct Series {
    pub(crate) label: String,
    /// Lines of one subject have the same number here in all charts of a page, and so the same colour.
    pub(crate) subject: usize,
    /// One of several of its kind: thin, and not in the legend.
    pub(crate) is_faint: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over two axes.
pub(crate) struct LineChart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
}

/// One row of a [`DotChart`].
pub(crate) struct DotRow {
    pub(crate) name: String,
    pub(crate) subject: usize,
    pub(crate) dots: Vec<f64>,
    pub(crate) median: f64,
    /// Said behind the value.
    pub(crate) remark: String,
}

/// A row of dots per name, on one axis, with a line at 1.
pub(crate) struct DotChart {
    pub(crate) title: String,
    pub(crate) axis: &'static str,
    pub(crate) rows: Vec<DotRow>,
    /// Names of the subjects, if there are several.
    pub(crate) legend: Vec<(usize, String)>,
}

impl LineChart {
    /// The chart with its title and legend; nothing if there is nothing to draw.
    pub(crate) fn figure(&self) -> String {
        let drawn: Vec<&Series> = self.series.iter().filter(|series| !series.points.is_empty()).collect();
        if drawn.is_empty() {
            return String::new();
        }
        let points = || drawn.iter().flat_map(|series| &series.points);
        let x = Scale::over(self.x.spread, self.x.quantity, points().map(|point| point.0));
        let y = Scale::over(self.y.spread, self.y.quantity, points().map(|point| point.1));
        let mut svg = open(&self.title, HEIGHT);
        self.axes(&x, &y, &mut svg);
        // What is thin goes beneath.
        for faint in [true, false] {
            for series in drawn.iter().filter(|series| series.is_faint == faint) {
                self.line(series, &x, &y, &mut svg);
            }
        }
        svg.push_str("</svg>");
        let named = drawn.iter().filter(|series| !series.is_faint).map(|series| (series.subject, series.label.clone()));
        figure(&self.title, &named.collect::<Vec<_>>(), &svg)
    }

    fn axes(&self, x: &Scale, y: &Scale, svg: &mut String) {
        // Writing to a string cannot fail, here and below.
        for (value, label) in y.marks() {
            let at = place_y(y, value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text class=\"mark\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                at + 4.0,
                escaped(&label)
            );
        }
        for (value, label) in x.marks() {
            let at = place_x(x, value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                 <text class=\"mark\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                HEIGHT - BOTTOM,
                HEIGHT - BOTTOM + 18.0,
                escaped(&label)
            );
        }
        let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
        let _ = write!(
            svg,
            "<path class=\"frame\" d=\"M{LEFT} {TOP}V{:.1}H{:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text class=\"axis\" transform=\"translate(15 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            WIDTH - RIGHT,
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 10.0,
            escaped(self.x.title),
            escaped(self.y.title)
        );
    }

    fn line(&self, series: &Series, x: &Scale, y: &Scale, svg: &mut String) {
        let class = class_of(series.subject);
        let faint = if series.is_faint { " faint" } else { "" };
        let mut path = String::new();
        for (index, point) in series.points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", place_x(x, point.0), place_y(y, point.1));
        }
        let _ = write!(svg, "<path class=\"line {class}{faint}\" d=\"{path}\"/>");
        if series.is_faint || series.points.len() > POINTS_MAX {
            return;
        }
        let is_sparse = series.points.len() < 30;
        for point in &series.points {
            let radius = if is_sparse { 3.0 } else { 5.0 };
            let seen = if is_sparse { "dot" } else { "spot" };
            let _ = write!(
                svg,
                "<circle class=\"{seen} {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\">\
                 <title>{}: {} at {}</title></circle>",
                place_x(x, point.0),
                place_y(y, point.1),
                escaped(&series.label),
                escaped(&self.y.quantity.label(point.1)),
                escaped(&self.x.quantity.label(point.0))
            );
        }
    }
}

impl DotChart {
    pub(crate) fn figure(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
        let end = TOP + DOT_ROW * self.rows.len() as f64;
        let height = end + BOTTOM;
        let letters = self.rows.iter().map(|row| row.name.chars().count().min(LETTERS_MAX)).max().unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "a number of letters")]
        let left = LETTER * letters as f64 + 20.0;
        let values = self.rows.iter().flat_map(|row| row.dots.iter().copied().chain([row.median, 1.0]));
        let scale = Scale::over(Spread::Log, Quantity::Ratio, values);
        let place = |value: f64| left + scale.position(value) * (WIDTH - left - DOT_RIGHT);
        let mut svg = open(&self.title, height);
        for (value, label) in scale.marks() {
            let at = place(value);
            let class = if (value - 1.0).abs() < 1e-9 { "one" } else { "grid" };
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{end:.1}\"/>\
                 <text class=\"mark\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                end + 18.0
            );
        }
        for (number, row) in self.rows.iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
            let middle = TOP + DOT_ROW * (number as f64 + 0.5);
            dot_row(row, left, middle, &place, &mut svg);
        }
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></svg>",
            f64::midpoint(left, WIDTH - DOT_RIGHT),
            height - 12.0,
            escaped(self.axis)
        );
        figure(&self.title, &self.legend, &svg)
    }
}

fn dot_row(row: &DotRow, left: f64, middle: f64, place: &impl Fn(f64) -> f64, svg: &mut String) {
    let class = class_of(row.subject);
    let low = row.dots.iter().copied().fold(row.median, f64::min);
    let high = row.dots.iter().copied().fold(row.median, f64::max);
    let _ = write!(
        svg,
        "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <line class=\"line {class}\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
        left - 10.0,
        middle + 4.0,
        escaped(&shortened(&row.name)),
        place(low),
        place(high)
    );
    for dot in &row.dots {
        let _ = write!(svg, "<circle class=\"small {class}\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"3\"/>", place(*dot));
    }
    let digits = if row.median < 0.2 { 3 } else { 2 };
    let remark = if row.remark.is_empty() { String::new() } else { format!(" {}", row.remark) };
    let _ = write!(
        svg,
        "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"6\"/>\
         <text class=\"value\" x=\"{:.1}\" y=\"{:.1}\">{:.digits$}<tspan class=\"remark\">{}</tspan></text>",
        place(row.median),
        WIDTH - DOT_RIGHT + 12.0,
        middle + 4.0,
        row.median,
        escaped(&remark)
    );
}

/// A figure with its title and, if more than one thing is shown, its legend.
fn figure(title: &str, legend: &[(usize, String)], svg: &str) -> String {
    let mut text = format!("<figure><figcaption>{}</figcaption>", escaped(title));
    if legend.len() > 1 {
        text.push_str("<p class=\"legend\">");
        for (subject, label) in legend {
            let _ = write!(
                text,
                "<span><svg class=\"key\" viewBox=\"0 0 22 8\"><path class=\"line {}\" d=\"M1 4H21\"/></svg>{}</span>",
                class_of(*subject),
                escaped(label)
            );
        }
        text.push_str("</p>");
    }
    text + svg + "</figure>\n"
}

fn open(title: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">", escaped(title))
}

/// A name that fits.
fn shortened(name: &str) -> String {
    if name.chars().count() <= LETTERS_MAX {
        return name.to_string();
    }
    name.chars().take(LETTERS_MAX - 1).chain(['…']).collect()
}

fn class_of(subject: usize) -> String {
    let dashed = if subject >= COLOURS { " dashed" } else { "" };
    format!("c{}{dashed}", subject % COLOURS)
}

fn place_x(scale: &Scale, value: f64) -> f64 {
    LEFT + scale.position(value) * (WIDTH - LEFT - RIGHT)
}

fn place_y(scale: &Scale, value: f64) -> f64 {
    HEIGHT - BOTTOM - scale.position(value) * (HEIGHT - TOP - BOTTOM)
}

/// Text that is no markup.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> LineChart {
        let axis = |title, quantity| Axis { title, spread: Spread::Linear, quantity };
        let series = |label: &str, subject| Series {
            label: label.to_string(),
            subject,
            is_faint: false,
            points: points.to_vec(),
        };
        LineChart {
            title: "a <chart>".to_string(),
            x: axis("time, s", Quantity::Seconds),
            y: axis("requests/s", Quantity::Rate),
            series: vec![series("one & two", 0), series("other", 7)],
        }
    }

    #[test]
    fn a_chart_has_axes_units_lines_and_a_legend() {
        let figure = chart(&[(0.0, 1000.0), (1.0, 2000.0)]).figure();
        for part in ["a &lt;chart&gt;", "time, s", "requests/s", "one &amp; two", ">1 k<", "line c1 dashed", "<title>"]
        {
            assert!(figure.contains(part), "{part} in {figure}");
        }
        assert_eq!(figure.matches("class=\"key\"").count(), 2);
        // The last point stands at the right end, and at the top.
        assert!(figure.contains(&format!("L{:.1} {TOP:.1}", WIDTH - RIGHT)), "{figure}");
        assert_eq!(chart(&[]).figure(), "");
    }

    #[test]
    fn dots_show_every_round_the_median_and_where_both_are_even() {
        let row = |name: &str, median| DotRow {
            name: name.to_string(),
            subject: 0,
            dots: vec![median * 0.9, median, median * 1.1],
            median,
            remark: "idle".to_string(),
        };
        let rows = vec![row("first", 0.5), row("second", 0.07)];
        let chart = DotChart { title: "ratios".into(), axis: "ratio", rows, legend: Vec::new() };
        let figure = chart.figure();
        assert_eq!((figure.matches("small c0").count(), figure.matches("dot c0").count()), (6, 2));
        assert_eq!(figure.matches("class=\"one\"").count(), 1);
        assert!(figure.contains(">0.50<") && figure.contains(">0.070<") && figure.contains("> idle<"), "{figure}");
    }
}
