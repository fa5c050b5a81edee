//! A picture of a screen: read as QEMU gives it (PPM or PNG), written as a PNG that fits into a message.
//!
//! Rule: nothing of a guest's choosing makes it large: what is too big in pixels is refused, what is too big as a PNG is
//! shown at half its size, again and again.

use arame_schema::limits::SCREENSHOT_BYTES_MAX;
use std::io::Cursor;

/// 4096 by 4096 points; QEMU's largest standard screen has a quarter of that.
const POINTS_MAX: usize = 16 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: usize,
    pub height: usize,
    /// Three bytes a point, rows from the top.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// # Errors
    /// A sentence: it is none of the two, or too large.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let picture = if bytes.starts_with(b"P6") { read_ppm(bytes) } else { read_png(bytes) };
        picture.filter(Self::is_whole).ok_or_else(|| "the hypervisor's picture cannot be read".to_owned())
    }

    fn is_whole(&self) -> bool {
        let points = self.width.saturating_mul(self.height);
        points > 0 && points <= POINTS_MAX && self.rgb.len() == points * 3
    }

    /// At most [`SCREENSHOT_BYTES_MAX`].
    ///
    /// # Errors
    /// A sentence; it cannot be written.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let png = self.encode().map_err(|e| e.to_string())?;
        if png.len() <= SCREENSHOT_BYTES_MAX { Ok(png) } else { self.halved().png() }
    }

    fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Every second point of every second row.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let point = |at: usize| {
            let from = (at / width * 2 * self.width + at % width * 2) * 3;
            self.rgb.get(from..from + 3).unwrap_or(&[0; 3])
        };
        let rgb = (0..width * height).flat_map(|at| point(at).iter().copied()).collect();
        Self { width, height, rgb }
    }
}

/// `P6 <width> <height> 255` and one blank, then the points (ppm(5)).
fn read_ppm(bytes: &[u8]) -> Option<Picture> {
    let mut rest = bytes.strip_prefix(b"P6")?;
    let mut numbers = [0; 3];
    for number in &mut numbers {
        while rest.first().is_some_and(u8::is_ascii_whitespace) {
            rest = &rest[1..];
        }
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        *number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        rest = &rest[digits..];
    }
    let [width, height, 255] = numbers else { return None };
    Some(Picture { width, height, rgb: rest.get(1..)?.to_vec() })
}

fn read_png(bytes: &[u8]) -> Option<Picture> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), png::Limits { bytes: POINTS_MAX * 4 });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    let mut pixels = vec![0; reader.output_buffer_size().filter(|size| *size <= POINTS_MAX * 4)?];
    let info = reader.next_frame(&mut pixels).ok()?;
    let pixels = &pixels[..info.buffer_size()];
    let rgb = match info.color_type {
        png::ColorType::Rgb => pixels.to_vec(),
        png::ColorType::Rgba => pixels.chunks_exact(4).flat_map(|point| [point[0], point[1], point[2]]).collect(),
        png::ColorType::Grayscale => pixels.iter().flat_map(|grey| [*grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => pixels.chunks_exact(2).flat_map(|point| [point[0]; 3]).collect(),
        png::ColorType::Indexed => return None,
    };
    Some(Picture { width: info.width as usize, height: info.height as usize, rgb })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(width: usize, height: usize) -> Picture {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        Picture { width, height, rgb: (0..width * height * 3).map(|_| next()).collect() }
    }

    #[test]
    fn a_screen_is_read_from_either_form_and_is_the_same_as_a_png() {
        let screen = noise(31, 7);
        let mut ppm = b"P6\n31 7\n255\n".to_vec();
        ppm.extend(&screen.rgb);
        assert_eq!(Picture::read(&ppm).unwrap(), screen);
        let png = screen.png().unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        assert_eq!(Picture::read(&png).unwrap(), screen);
    }

    #[test]
    fn what_is_too_big_is_shown_smaller_and_what_is_broken_not_at_all() {
        let png = noise(1400, 900).png().unwrap();
        assert!(png.len() <= SCREENSHOT_BYTES_MAX);
        let shown = Picture::read(&png).unwrap();
        assert_eq!((shown.width, shown.height), (700, 450));
        for broken in [
            &b"P6\n99999999 99999999\n255\n"[..],
            b"P6\n2 2\n255\nxx",
            b"P6",
            b"",
            b"\x89PNG\r\n\x1a\n",
            b"P6 0 0 255\n",
        ] {
            assert!(Picture::read(broken).is_err(), "{broken:?}");
        }
    }
}
