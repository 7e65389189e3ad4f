package accuracy_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

func TestReadPairs(t *testing.T) {
	got, err := accuracy.ReadPairs(strings.NewReader("# a set\na/1.jpg\ta/2.jpg\t1\r\n\n./a/1.jpg\tb/x/1.jpg\t0\n"))
	want := []accuracy.Pair{{A: "a/1.jpg", B: "a/2.jpg", Mate: true}, {A: "a/1.jpg", B: "b/x/1.jpg"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if images := accuracy.Images(got); !reflect.DeepEqual(images, []string{"a/1.jpg", "a/2.jpg", "b/x/1.jpg"}) {
		t.Errorf("images: %v", images)
	}
}

func TestReadPairsRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":            "",
		"only a remark":      "# pairs\n",
		"two fields":         "a/1\ta/2\n",
		"four fields":        "a/1\ta/2\t1\t1\n",
		"another label":      "a/1\ta/2\tyes\n",
		"absolute path":      "/etc/passwd\t/etc/group\t1\n",
		"climbs out":         "a/../../x/1\ta/2\t0\n",
		"no folder to climb": "..\ta/2\t0\n",
		"itself":             "a/1\ta/./1\t1\n",
		"mate of another":    "a/1\tb/1\t1\n",
		"impostor of self":   "a/1\ta/2\t0\n",
		"endless line":       strings.Repeat("a", 20<<10),
	} {
		if pairs, err := accuracy.ReadPairs(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read %v", name, pairs)
		}
	}
}

func TestReadGroups(t *testing.T) {
	got, err := accuracy.ReadGroups(strings.NewReader("a\tyoung\nb\told\na\tyoung\n"))
	if err != nil || !reflect.DeepEqual(got, map[string]string{"a": "young", "b": "old"}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"a\n", "a\t\n", "\tx\n", "a\tx\ty\n", "a\tx\na\ty\n"} {
		if got, err := accuracy.ReadGroups(strings.NewReader(text)); err == nil {
			t.Errorf("%q: read %v", text, got)
		}
	}
}

func TestBlocks(t *testing.T) {
	set := func(pattern string) (pairs []accuracy.Pair) {
		for _, c := range pattern {
			pairs = append(pairs, accuracy.Pair{Mate: c == '1'})
		}
		return pairs
	}
	for pattern, want := range map[string]int{
		"110011001100":                      3,
		"1100":                              4,  // one block: dealt out
		strings.Repeat("1", 30) + "0000":    10, // likewise
		strings.Repeat("10", 300):           10, // alternating labels are not folds
		strings.Repeat("1111"+"0000", 10):   10,
		strings.Repeat("11"+"000", 4) + "1": 5,
	} {
		blocks := accuracy.Blocks(set(pattern))
		n := 0
		for _, b := range blocks {
			n += len(b)
		}
		if len(blocks) != want || n != len(pattern) {
			t.Errorf("%.20s: %d blocks of %d pairs, want %d of %d", pattern, len(blocks), n, want, len(pattern))
		}
	}
}

func FuzzReadPairs(f *testing.F) {
	f.Add("a/1\ta/2\t1\n")
	f.Add("a/1\tb/2\t0\r\n# x\n\n")
	f.Add("../a\tb/2\t0")
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := accuracy.ReadPairs(strings.NewReader(text))
		if err == nil && len(pairs) == 0 {
			t.Fatal("no pair and no error")
		}
		for _, p := range pairs {
			for _, name := range []string{p.A, p.B} {
				if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
					t.Fatalf("%q leaves the folder", name)
				}
			}
			if p.Mate != (accuracy.Person(p.A) == accuracy.Person(p.B)) {
				t.Fatalf("label and folders contradict: %+v", p)
			}
		}
	})
}

func FuzzReadGroups(f *testing.F) {
	f.Add("a\tyoung\nb/1.jpg\told\n")
	f.Add("a\t\n")
	f.Fuzz(func(t *testing.T, text string) {
		groups, err := accuracy.ReadGroups(strings.NewReader(text))
		for name, group := range groups {
			if err != nil || name == "" || group == "" {
				t.Fatalf("%q in %q, error %v", name, group, err)
			}
		}
	})
}
