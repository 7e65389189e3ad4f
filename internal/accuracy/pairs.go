package accuracy

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"
)

// A Pair is one line of a pairs file: two images, and whether they show the
// same person.
type Pair struct {
	A, B string // slash-separated, relative to the folder of the images
	Mate bool
}

// maxLine bounds a line of a pairs or groups file: two long paths.
const maxLine = 16 << 10

// ReadPairs reads lines "imageA<TAB>imageB<TAB>1|0". Empty lines and lines
// that start with # are passed over. The person of an image is the folder it
// lies in, so a line whose folders contradict its label is an error: it would
// count one comparison as mate and as impostor.
func ReadPairs(r io.Reader) ([]Pair, error) {
	var pairs []Pair
	err := eachLine(r, func(line string) error {
		p, err := parsePair(line)
		if err == nil {
			pairs = append(pairs, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read pairs: %w", err)
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("read pairs: no pair in the file")
	}
	return pairs, nil
}

func parsePair(line string) (Pair, error) {
	f := strings.Split(line, "\t")
	if len(f) != 3 || f[2] != "0" && f[2] != "1" {
		return Pair{}, fmt.Errorf("want imageA<TAB>imageB<TAB>1|0")
	}
	p := Pair{A: path.Clean(f[0]), B: path.Clean(f[1]), Mate: f[2] == "1"}
	for _, name := range []string{p.A, p.B} {
		if path.IsAbs(name) || name == "." || name == ".." || strings.HasPrefix(name, "../") {
			return Pair{}, fmt.Errorf("image %q is not inside the folder of the images", name)
		}
	}
	switch same := Person(p.A) == Person(p.B); {
	case p.A == p.B:
		return Pair{}, fmt.Errorf("%s is paired with itself", p.A)
	case p.Mate && !same:
		return Pair{}, fmt.Errorf("%s and %s are marked as one person and lie in two folders", p.A, p.B)
	case !p.Mate && same:
		return Pair{}, fmt.Errorf("%s and %s are marked as two people and lie in one folder", p.A, p.B)
	}
	return p, nil
}

// Person is who an image shows: the folder it lies in.
func Person(image string) string { return path.Dir(image) }

// Images lists every image of the pairs once, in order of appearance.
func Images(pairs []Pair) []string {
	var names []string
	seen := make(map[string]bool)
	for _, p := range pairs {
		for _, name := range []string{p.A, p.B} {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// Blocks splits the pairs where a run of impostors is followed by a mate: the
// folds of a set that is written fold by fold. A file without at least three
// such blocks is dealt out into ten.
func Blocks(pairs []Pair) [][]Pair {
	var blocks [][]Pair
	start := 0
	for i := 1; i < len(pairs); i++ {
		if pairs[i].Mate && !pairs[i-1].Mate {
			blocks = append(blocks, pairs[start:i])
			start = i
		}
	}
	blocks = append(blocks, pairs[start:])
	if len(blocks) >= 3 && len(blocks) <= 100 {
		return blocks
	}
	blocks = make([][]Pair, min(10, len(pairs)))
	for i, p := range pairs {
		blocks[i%len(blocks)] = append(blocks[i%len(blocks)], p)
	}
	return blocks
}

// ReadGroups reads lines "name<TAB>group", where name is a person or an image.
func ReadGroups(r io.Reader) (map[string]string, error) {
	groups := make(map[string]string)
	err := eachLine(r, func(line string) error {
		name, group, ok := strings.Cut(line, "\t")
		if !ok || name == "" || group == "" || strings.Contains(group, "\t") {
			return fmt.Errorf("want person-or-image<TAB>group")
		}
		if old, ok := groups[name]; ok && old != group {
			return fmt.Errorf("%s is in %s and in %s", name, old, group)
		}
		groups[name] = group
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	return groups, nil
}

func eachLine(r io.Reader, do func(line string) error) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, maxLine), maxLine)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimRight(sc.Text(), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := do(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return sc.Err()
}
