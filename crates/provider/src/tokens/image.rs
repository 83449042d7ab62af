//! The tokens of images, by the rules that OpenAI publishes:
//! <https://platform.openai.com/docs/guides/images-vision#calculating-costs>. For models of others they are a guess.

/// The size of an image of which nothing is known: the common answer of generators, and not far from a page or a photo as
/// it is sent.
const UNKNOWN: Size = Size { width: 1_024, height: 1_024 };

/// How much of a data URL is looked at for the size.
const LONGEST_HEAD: usize = 128 << 10;

/// How a model counts images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// So many for the whole at low detail, and so many more for each tile of 512 pixels at high detail.
    Tiles { whole: u64, tile: u64 },
    /// So many thousandths for each patch of 32 pixels, of which there are at most 1,536.
    Patches { thousandths: u64 },
}

/// Beginnings of names, the more special first.
const RULES: &[(&str, Rule)] = &[
    ("gpt-4o-mini", Rule::Tiles { whole: 2_833, tile: 5_667 }),
    ("gpt-4.1-mini", Rule::Patches { thousandths: 1_620 }),
    ("gpt-4.1-nano", Rule::Patches { thousandths: 2_460 }),
    ("gpt-5-mini", Rule::Patches { thousandths: 1_620 }),
    ("gpt-5-nano", Rule::Patches { thousandths: 2_460 }),
    ("o4-mini", Rule::Patches { thousandths: 1_720 }),
    ("gpt-5", Rule::Tiles { whole: 70, tile: 140 }),
    ("o1", Rule::Tiles { whole: 75, tile: 150 }),
    ("o3", Rule::Tiles { whole: 75, tile: 150 }),
    // gpt-4o, gpt-4.1, gpt-4.5, and whoever else.
    ("", Rule::Tiles { whole: 85, tile: 170 }),
];

/// The pixels of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    width: u32,
    height: u32,
}

impl Rule {
    /// Returns the rule for a model.
    pub(super) fn of(name: &str) -> Self {
        let found = RULES.iter().find(|(begin, _)| name.starts_with(begin));
        found.map_or(Self::Tiles { whole: 85, tile: 170 }, |(_, rule)| *rule)
    }

    /// Returns the tokens of an image.
    pub(super) fn count(self, size: Option<Size>, detail: Option<&str>) -> u64 {
        let Size { width, height } = size.unwrap_or(UNKNOWN);
        let (width, height) = (f64::from(width.max(1)), f64::from(height.max(1)));
        match self {
            Self::Tiles { whole, .. } if detail == Some("low") => whole,
            Self::Tiles { whole, tile } => {
                // It is made to fit into a square of 2,048 pixels, then its shorter side to 768.
                let fit = (2_048.0 / width.max(height)).min(1.0);
                let shrink = (768.0 / (width.min(height) * fit)).min(1.0) * fit;
                let tiles = |side: f64| (side * shrink / 512.0).ceil() as u64;
                whole + tile * tiles(width) * tiles(height)
            }
            Self::Patches { thousandths } => {
                let patches = |side: f64| (side / 32.0).ceil();
                let n = (patches(width) * patches(height)).min(1_536.0) as u64;
                (n * thousandths).div_ceil(1_000)
            }
        }
    }
}

/// Returns the size of an image that stands in its URL. What is behind other URLs is not looked at.
pub(super) fn size_of(url: &str) -> Option<Size> {
    let (head, data) = url.split_once(',')?;
    if !head.starts_with("data:") || !head.ends_with(";base64") {
        return None;
    }
    let bytes = unpacked(data);
    png(&bytes).or_else(|| gif(&bytes)).or_else(|| webp(&bytes)).or_else(|| jpeg(&bytes))
}

/// Reads the beginning of base 64; what is not of its alphabet ends it.
fn unpacked(data: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut n_bits) = (0_u32, 0);
    for six in data.bytes().take(LONGEST_HEAD).map_while(digit) {
        bits = bits << 6 | u32::from(six);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    bytes
}

fn big(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

/// <https://www.w3.org/TR/png-3/#11IHDR>
fn png(bytes: &[u8]) -> Option<Size> {
    let side = |at: usize| Some(big(bytes, at)? << 16 | big(bytes, at + 2)?);
    if !bytes.starts_with(b"\x89PNG") {
        return None;
    }
    Some(Size { width: side(16)?, height: side(20)? })
}

/// <https://www.w3.org/Graphics/GIF/spec-gif89a.txt>
fn gif(bytes: &[u8]) -> Option<Size> {
    if !bytes.starts_with(b"GIF8") {
        return None;
    }
    Some(Size { width: little(bytes, 6)?, height: little(bytes, 8)? })
}

/// <https://developers.google.com/speed/webp/docs/riff_container>
fn webp(bytes: &[u8]) -> Option<Size> {
    if bytes.get(8..12)? != b"WEBP" {
        return None;
    }
    let size = |width: u32, height: u32| Some(Size { width, height });
    match bytes.get(12..16)? {
        b"VP8X" => {
            let side = |at: usize| Some(little(bytes, at)? | u32::from(*bytes.get(at + 2)?) << 16);
            size(side(24)? + 1, side(27)? + 1)
        }
        b"VP8L" => {
            let bits = little(bytes, 21)? | little(bytes, 23)? << 16;
            size((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)
        }
        b"VP8 " => size(little(bytes, 26)? & 0x3fff, little(bytes, 28)? & 0x3fff),
        _ => None,
    }
}

/// Goes from marker to marker until the frame. <https://www.w3.org/Graphics/JPEG/itu-t81.pdf>, annex B.
fn jpeg(bytes: &[u8]) -> Option<Size> {
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return None;
    }
    let mut at = 2;
    loop {
        let marker = *bytes.get(at + 1)?;
        // Frames of every kind; the three others in the range are tables.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            return Some(Size { width: big(bytes, at + 7)?, height: big(bytes, at + 5)? });
        }
        at += 2 + big(bytes, at + 2)? as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Option<Size> {
        Some(Size { width, height })
    }

    #[test]
    fn the_published_examples_come_out() {
        let usual = Rule::of("gpt-4o-2024-11-20");
        assert_eq!(usual.count(size(1_024, 1_024), Some("high")), 765);
        assert_eq!(usual.count(size(2_048, 4_096), Some("high")), 1_105);
        assert_eq!(usual.count(size(4_096, 8_192), Some("low")), 85);
        assert_eq!(usual.count(None, None), 765);
        assert_eq!(usual.count(size(100, 100), None), 85 + 170);
        let patches = Rule::Patches { thousandths: 1_000 };
        assert_eq!(patches.count(size(1_024, 1_024), None), 1_024);
        assert_eq!(patches.count(size(1_800, 2_400), Some("high")), 1_536);
        assert_eq!(Rule::of("gpt-4.1-mini").count(size(1_024, 1_024), None), 1_659);
        assert_eq!(Rule::of("gpt-4o-mini").count(size(1_024, 1_024), None), 2_833 + 4 * 5_667);
        assert_eq!(Rule::of("qwen-vl-max"), usual);
    }

    #[test]
    fn the_size_of_an_image_is_found_in_its_own_bytes() {
        // The beginnings of what Pillow 13 writes for 300 × 200 pixels; WebP with loss, without, and with transparency.
        for (kind, data) in [
            ("png", "iVBORw0KGgoAAAANSUhEUgAAASwAAADICAIAAADdvUsC"),
            ("gif", "R0lGODdhLAHIAIEAAP8AAAAAAAAAAAAAACwA"),
            ("webp", "UklGRsQAAABXRUJQVlA4ILgAAADwEACdASosAcgAPm02mUmk"),
            ("webp", "UklGRiQAAABXRUJQVlA4TBcAAAAvK8ExAAcQ/Y/+BwAU6f9/"),
            ("webp", "UklGRvAAAABXRUJQVlA4WAoAAAAQAAAAKwEAxwAAQUxQSBIA"),
            (
                "jpeg",
                "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8UHRofHh0aHBwgJC4nICIsIxwcKDcpLDAxNDQ0\
                 Hyc5PTgyPC4zNDL/2wBDAQkJCQwLDBgNDRgyIRwhMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIy\
                 MjL/wAARCADIASwD",
            ),
        ] {
            assert_eq!(size_of(&format!("data:image/{kind};base64,{data}")), size(300, 200), "{kind}");
        }
        for url in [
            "https://example.com/a.png",
            "data:image/png,abc",
            "data:image/png;base64,",
            "data:x;base64,/9j/4AAQ",
            "a,b",
        ] {
            assert_eq!(size_of(url), None, "{url}");
        }
    }
}
