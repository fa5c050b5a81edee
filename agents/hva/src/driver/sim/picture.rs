//! The screen of a simulated guest: its name, its id, how it is powered, in letters of three by five points.

use crate::driver::SeenPower;
use crate::screen::Picture;

const WIDTH: usize = 640;
const HEIGHT: usize = 400;

/// Points on the screen for one of a letter.
const SCALE: usize = 6;
const COLUMNS: usize = WIDTH / (4 * SCALE);

/// Letters as five rows of three bits.
const FONT: &[(char, [u8; 5])] = &[
    ('A', [2, 5, 7, 5, 5]),
    ('B', [6, 5, 6, 5, 6]),
    ('C', [3, 4, 4, 4, 3]),
    ('D', [6, 5, 5, 5, 6]),
    ('E', [7, 4, 6, 4, 7]),
    ('F', [7, 4, 6, 4, 4]),
    ('G', [3, 4, 5, 5, 3]),
    ('H', [5, 5, 7, 5, 5]),
    ('I', [7, 2, 2, 2, 7]),
    ('J', [1, 1, 1, 5, 2]),
    ('K', [5, 5, 6, 5, 5]),
    ('L', [4, 4, 4, 4, 7]),
    ('M', [5, 7, 7, 5, 5]),
    ('N', [6, 5, 5, 5, 5]),
    ('O', [2, 5, 5, 5, 2]),
    ('P', [6, 5, 6, 4, 4]),
    ('Q', [2, 5, 5, 6, 3]),
    ('R', [6, 5, 6, 5, 5]),
    ('S', [3, 4, 2, 1, 6]),
    ('T', [7, 2, 2, 2, 2]),
    ('U', [5, 5, 5, 5, 7]),
    ('V', [5, 5, 5, 5, 2]),
    ('W', [5, 5, 7, 7, 5]),
    ('X', [5, 5, 2, 5, 5]),
    ('Y', [5, 5, 2, 2, 2]),
    ('Z', [7, 1, 2, 4, 7]),
    ('0', [7, 5, 5, 5, 7]),
    ('1', [2, 6, 2, 2, 7]),
    ('2', [6, 1, 2, 4, 7]),
    ('3', [6, 1, 2, 1, 6]),
    ('4', [5, 5, 7, 1, 1]),
    ('5', [7, 4, 6, 1, 6]),
    ('6', [3, 4, 7, 5, 7]),
    ('7', [7, 1, 2, 2, 2]),
    ('8', [7, 5, 7, 5, 7]),
    ('9', [7, 5, 7, 1, 6]),
    ('-', [0, 0, 7, 0, 0]),
    ('_', [0, 0, 0, 0, 7]),
    ('.', [0, 0, 0, 0, 2]),
    (':', [0, 2, 0, 2, 0]),
];

pub fn draw(name: &str, instance: &str, boots: u32, power: SeenPower) -> Picture {
    let (word, colour) = match power {
        SeenPower::On => ("RUNNING", [120, 220, 120]),
        SeenPower::Paused => ("PAUSED", [230, 190, 80]),
        SeenPower::Off => ("OFF", [120, 120, 120]),
    };
    let mut picture = Picture { width: WIDTH, height: HEIGHT, rgb: [12, 20, 28].repeat(WIDTH * HEIGHT) };
    let lines = [name.to_owned(), instance.to_owned(), String::new(), word.to_owned(), format!("BOOT {boots}")];
    let mut row = 1;
    for line in lines {
        let letters: Vec<char> = line.to_uppercase().chars().collect();
        // An empty line is a line too.
        for part in letters.chunks(COLUMNS - 2).map(<[char]>::to_vec).chain(letters.is_empty().then(Vec::new)) {
            write(&mut picture, row, &part, colour);
            row += 1;
        }
    }
    picture
}

fn write(picture: &mut Picture, row: usize, letters: &[char], colour: [u8; 3]) {
    for (column, letter) in letters.iter().enumerate() {
        let Some((_, rows)) = FONT.iter().find(|(known, _)| known == letter) else { continue };
        for (y, bits) in rows.iter().enumerate() {
            for x in (0..3).filter(|x| bits & (4 >> x) != 0) {
                dot(picture, ((column + 1) * 4 + x) * SCALE, (row * 7 + y) * SCALE, colour);
            }
        }
    }
}

fn dot(picture: &mut Picture, left: usize, top: usize, colour: [u8; 3]) {
    for y in top..(top + SCALE).min(picture.height) {
        for x in left..(left + SCALE).min(picture.width) {
            let at = (y * picture.width + x) * 3;
            picture.rgb[at..at + 3].copy_from_slice(&colour);
        }
    }
}
