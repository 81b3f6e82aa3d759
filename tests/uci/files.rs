//! Random configuration files that love the corners of the grammar.

/// SplitMix64: the same seed, the same files.
pub struct Random(u64);

impl Random {
    /// A generator of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const COMMANDS: &[&str] = &["option", "option", "option", "list", "list", "config", "o", "l", "c"];
const ODD_COMMANDS: &[&str] =
    &["package", "p", "Option", "op", "configs", "lists", "'option'", "x", "#option", "\\option"];
const NAMES: &[&str] = &["a", "b", "main", "A_1", "0", "cfg01b6b5", "cfg02b6b5", "_"];
const ODD_NAMES: &[&str] =
    &["a-b", "a.b", "'a b'", "a/b", "\u{e4}", "''", "\"a\"", "'a'b", "a\\b", "a\\\nb", "@x[0]"];
const TYPES: &[&str] = &["x", "x", "x", "yy", "t-y.p/e", "'x'", "a\u{e4}", "'a b'"];
const BLANKS: &[&str] = &[" ", " ", " ", "\t", "  ", " \t ", "\u{b}", " \u{c}", " \r"];
const PIECES: &[&str] = &[
    "b",
    "1",
    "10.0.0.0/8",
    "caf\u{e9}",
    "--",
    "*",
    "\\'",
    "\\\"",
    "\\\\",
    "\\ ",
    "\\\n",
    "\\\r\n",
    "\\#",
    "\\;",
    "''",
    "\"\"",
    "'c d'",
    "\"c d\"",
    "'#'",
    "\"#\"",
    "';'",
    "\";\"",
    "'\\'",
    "\"\\\"\"",
    "\"\\\\\"",
    "'e\nf'",
    "\"e\nf\"",
    "\"e\\\nf\"",
    "\"e\\\r\nf\"",
    "'e\\\nf'",
    "'\r\n'",
    "\"'\"",
    "'\"'",
    "\u{1}",
    "'\t'",
    "'\n\n'",
];
const ENDS: &[&str] = &[
    "\n",
    "\n",
    "\n",
    "\n",
    "\r\n",
    " \n",
    "\n\n",
    " # c 'd\n",
    "#\n",
    " #; option a b\n",
    "\n#\\\n",
    "\t\u{b}\n",
];
const NOISE: &[u8] = b"'\"\\#; \t\n\r;ocl'\x80\x0b=";

fn word(random: &mut Random, file: &mut Vec<u8>) {
    if random.once_in(300) {
        let length = random.below(6000);
        let quote = random.of(&["", "'", "\""]);
        file.extend_from_slice(quote.as_bytes());
        file.extend(std::iter::repeat_n(b"xy"[random.below(2)], length));
        return file.extend_from_slice(quote.as_bytes());
    }
    let pieces = [1, 1, 1, 2, 3, 5][random.below(6)];
    for _ in 0..pieces {
        file.extend_from_slice(random.of(PIECES).as_bytes());
    }
}

fn command(random: &mut Random, file: &mut Vec<u8>) {
    let command = if random.once_in(60) { random.of(ODD_COMMANDS) } else { random.of(COMMANDS) };
    file.extend_from_slice(command.as_bytes());
    file.extend_from_slice(random.of(&[" ", " ", "\t", "  "]).as_bytes());
    let first = match command {
        _ if random.once_in(60) => random.of(ODD_NAMES),
        "config" | "c" if random.once_in(30) => random.of(TYPES),
        "config" | "c" => "x",
        _ => random.of(NAMES),
    };
    file.extend_from_slice(first.as_bytes());
    if random.once_in(12) {
        return;
    }
    file.extend_from_slice(random.of(BLANKS).as_bytes());
    if matches!(command, "config" | "c") {
        if random.once_in(2) {
            let name = if random.once_in(30) { random.of(ODD_NAMES) } else { random.of(NAMES) };
            file.extend_from_slice(name.as_bytes());
        }
    } else {
        word(random, file);
    }
    if random.once_in(60) {
        file.extend_from_slice(random.of(BLANKS).as_bytes());
        word(random, file);
    }
}

/// A file: mostly right, for then there is most to compare.
pub fn file(random: &mut Random) -> Vec<u8> {
    let mut file = Vec::new();
    if random.once_in(20) {
        file.extend_from_slice(
            random
                .of(&["package l3roamd\n", "package 'a-b'\n", "package\n", "p a.b\n", "\u{feff}"])
                .as_bytes(),
        );
    }
    if !random.once_in(50) {
        file.extend_from_slice(random.of(&["config x\n", "config x main\n", "\n\tc x 'a'\n"]).as_bytes());
    }
    for _ in 0..random.below(12) {
        file.extend_from_slice(random.of(&["", "\t", "  ", "\r", "\n"]).as_bytes());
        command(random, &mut file);
        while random.once_in(25) {
            file.extend_from_slice(random.of(&[" ; ", " ;", ";", " ;; "]).as_bytes());
            command(random, &mut file);
        }
        file.extend_from_slice(random.of(ENDS).as_bytes());
    }
    if random.once_in(4) {
        file.pop();
    }
    if random.once_in(3) {
        for _ in 0..=random.below(3) {
            disturb(random, &mut file);
        }
    }
    if random.once_in(40) {
        let at = random.below(file.len() + 1);
        file.insert(at, 0);
    }
    file
}

fn disturb(random: &mut Random, file: &mut Vec<u8>) {
    let at = random.below(file.len() + 1);
    match random.below(3) {
        0 => file.insert(at, NOISE[random.below(NOISE.len())]),
        1 if at < file.len() => file[at] = NOISE[random.below(NOISE.len())],
        2 if at < file.len() => drop(file.remove(at)),
        _ => file.truncate(at),
    }
}

/// The file with a blank before each semicolon that may stand right behind a plain word: there libuci loses the rest of the line, and
/// we do not.
pub fn without_the_difference(file: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(file.len());
    for byte in file {
        let plain = result.last().is_some_and(|last| !b"'\"\\; \t\n\r\x0b\x0c".contains(last));
        if *byte == b';' && plain {
            result.push(b' ');
        }
        result.push(*byte);
    }
    result
}
