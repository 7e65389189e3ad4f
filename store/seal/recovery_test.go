package seal

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

// The text of the seed 00 01 02 … 1f: people have such on paper, so it must not
// change.
const goldenPrint = "c9a3-565f-fde4-f72b-5166-1be3-91ee-13e4"
const goldenText = "CFR1-000G40RV-40M30E2B-09185GR8-38E1W817-24GK2GA4-HC5RR345-D1P70X3N-RFX484SN"

func goldenKey(t testing.TB) *RecoveryKey {
	t.Helper()
	var seed key
	for i := range seed {
		seed[i] = byte(i)
	}
	k, err := recoveryOf(seed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRecoveryText(t *testing.T) {
	k := goldenKey(t)
	if k.Text() != goldenText || k.Public().Fingerprint() != goldenPrint {
		t.Errorf("text %s, fingerprint %s", k.Text(), k.Public().Fingerprint())
	}
	if s := k.String(); strings.Contains(s, goldenText[5:13]) || !strings.Contains(s, k.Public().Fingerprint()) {
		t.Errorf("%%v prints %s", s)
	}
	for name, text := range map[string]string{
		"as it is":      goldenText,
		"small letters": strings.ToLower(goldenText),
		"spaces":        strings.ReplaceAll(goldenText, "-", "  "),
		"in one":        strings.ReplaceAll(goldenText, "-", ""),
		"two lines":     "  " + goldenText[:40] + "\r\n\t" + goldenText[41:] + "\n\n",
		"look-alikes":   textPrefix + strings.NewReplacer("0", "o", "1", "l").Replace(goldenText[len(textPrefix):]),
		"a file":        "# Recovery key\n#\n" + goldenText + "\n# the end",
		"other splits":  goldenText[:20] + " " + goldenText[20:50] + "-" + goldenText[50:],
	} {
		if got, err := ParseRecoveryKey([]byte(text)); err != nil || got.seed != k.seed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecoveryTextMistyped changes each character to each other one, exchanges each
// two neighbours and groups, and leaves out or doubles each character: all are
// noticed, nearly always by the group, and nothing of the key is in the error.
func TestRecoveryTextMistyped(t *testing.T) {
	const first = len(textPrefix) + 1
	named, all := 0, 0
	refused := func(what, text string) {
		t.Helper()
		_, err := ParseRecoveryKey([]byte(text))
		if !errors.Is(err, ErrRecovery) {
			t.Errorf("%s: %s: error %v, want ErrRecovery", what, text, err)
			return
		}
		for group := range strings.SplitSeq(text[min(first, len(text)):], "-") {
			if len(group) > 4 && strings.Contains(err.Error(), group) {
				t.Errorf("%s: the error tells %s", what, group)
			}
		}
		if all++; strings.Contains(err.Error(), "group ") {
			named++
		}
	}
	for i := first; i < len(goldenText); i++ {
		if goldenText[i] == '-' {
			continue
		}
		for _, c := range "0123456789ABCDEFGHJKMNPQRSTVWXYZU?" {
			if byte(c) != goldenText[i] {
				refused("changed", goldenText[:i]+string(c)+goldenText[i+1:])
			}
		}
		refused("left out", goldenText[:i]+goldenText[i+1:])
		refused("doubled", goldenText[:i]+goldenText[i:i+1]+goldenText[i:])
		if next := i + 1; next < len(goldenText) && goldenText[next] != goldenText[i] && goldenText[next] != '-' {
			refused("exchanged", goldenText[:i]+goldenText[next:next+1]+goldenText[i:i+1]+goldenText[next+1:])
		}
	}
	words := strings.Split(goldenText, "-")
	for i := 1; i < len(words)-1; i++ {
		swapped := append([]string(nil), words...)
		swapped[i], swapped[i+1] = words[i+1], words[i]
		refused("groups exchanged", strings.Join(swapped, "-"))
	}
	if named < all*9/10 {
		t.Errorf("the group is named in %d of %d errors", named, all)
	}
	for what, text := range map[string]string{
		"empty": "", "prefix": "CFR1", "another": "AGE-SECRET-KEY-1", "comment": "# " + goldenText, "half": goldenText[:40],
		"too much": goldenText + "-00000000", "huge": goldenText + strings.Repeat(" ", maxText),
	} {
		refused(what, text)
	}
	if _, err := ParseRecoveryKey([]byte("CFR2" + goldenText[4:])); !errors.Is(err, store.ErrNewer) {
		t.Errorf("another version: error %v, want ErrNewer", err)
	}
}

// FuzzRecoveryKey: what is taken for a key comes out as its own text.
func FuzzRecoveryKey(f *testing.F) {
	f.Add([]byte(goldenText))
	f.Add([]byte("# x\n" + strings.ToLower(goldenText)))
	f.Add([]byte("CFR1 \u0130 \xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := ParseRecoveryKey(text)
		if err != nil {
			if !errors.Is(err, ErrRecovery) {
				t.Errorf("error %v, want ErrRecovery", err)
			}
			return
		}
		if again, err := ParseRecoveryKey([]byte(k.Text())); err != nil || again.seed != k.seed {
			t.Errorf("written as %s: %v", k.Text(), err)
		}
	})
}

// FuzzRecovery hands in arbitrary public halves.
func FuzzRecovery(f *testing.F) {
	good := goldenKey(f).Public().format()
	f.Add(good)
	f.Add(good[:200])
	f.Add(bytes.Replace(good, []byte("recovery 1"), []byte("recovery 2"), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseRecovery(b)
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNewer) {
				t.Errorf("error %v", err)
			}
			return
		}
		if again, err := parseRecovery(p.format()); err != nil || again.tag() != p.tag() {
			t.Errorf("%v", err)
		}
	})
}

// TestDamagedRecovery flips a bit of every byte: nothing is sealed to what nobody
// could open.
func TestDamagedRecovery(t *testing.T) {
	good := goldenKey(t).Public().format()
	for n := range good {
		damaged := bytes.Clone(good)
		damaged[n] ^= 1 << (n % 7)
		if p, err := parseRecovery(damaged); err == nil && p.tag() != goldenKey(t).Public().tag() {
			t.Errorf("byte %d: is taken for %s", n, p.Fingerprint())
		}
		if _, err := parseRecovery(good[:n]); err == nil && n < len(good)-1 {
			t.Errorf("cut at %d: is taken", n)
		}
	}
}

// TestCutSetRecovery: wherever it is cut, the box has one of the two keys whole or
// none that all agree on, keyrings open, and a second try completes it.
func TestCutSetRecovery(t *testing.T) {
	old, next := NewRecoveryKey(), NewRecoveryKey()
	var ada []byte
	local := func(t *testing.T, dir string) *Master { return must(t)(FindMaster(MasterOptions{Dir: dir})) }
	rings := func(t *testing.T, dir string) []*Ring {
		rings, err := openAll(dir, local(t, dir), local(t, dir), disk{})
		if err != nil || len(rings) != 2 {
			t.Fatalf("%d keyrings, %v", len(rings), err)
		}
		return rings
	}
	prepare := func(t *testing.T, dir string) {
		for _, env := range environments {
			r, err := Open(Path(dir, env), local(t, dir), Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			ada = mustSeal(t, r, ofAda, "ada")
			mustSync(t, r)
		}
		if err := SetRecovery(dir, local(t, dir), old); err != nil {
			t.Fatal(err)
		}
	}
	op := func(dir string, d disk) error {
		m, err := FindMaster(MasterOptions{Dir: dir})
		if err != nil {
			return err
		}
		return setRecovery(dir, m, next, d)
	}
	cutEverywhere(t, prepare, op, func(t *testing.T, dir string, cut bool) {
		p, err := ReadRecovery(dir)
		if err != nil || p.tag() != old.Public().tag() && p.tag() != next.Public().tag() {
			t.Fatalf("%v, %v", p, err)
		}
		for _, r := range rings(t, dir) {
			s := r.recovery
			if s == nil || *s != (recoverySecret{old.Public().tag(), old.author()}) && *s != (recoverySecret{next.Public().tag(), next.author()}) {
				t.Errorf("%s knows %+v", r.path, s)
			}
		}
		if err := opens(rings(t, dir)[1], ofAda, ada, "ada"); err != nil {
			t.Error(err)
		}
		if err := op(dir, disk{noSync: true}); err != nil {
			t.Fatal(err)
		}
		p, err = ReadRecovery(dir)
		for _, r := range rings(t, dir) {
			if err != nil || p.tag() != next.Public().tag() || r.recovery.tag != p.tag() || r.recovery.author != next.author() {
				t.Errorf("in the end %v, %v", p, err)
			}
		}
	})
}

// TestRecoveryOfALaterEnvironment: the keyring of an environment that comes into
// use later knows the recovery key of the box, and so does one that was wrapped
// anew; without a keyring there is none to tell.
func TestRecoveryOfALaterEnvironment(t *testing.T) {
	dir := t.TempDir()
	local := func() *Master { return must(t)(FindMaster(MasterOptions{Dir: dir})) }
	k := NewRecoveryKey()
	if err := SetRecovery(dir, local(), k); !errors.Is(err, fs.ErrNotExist) || listing(t, dir) != "" {
		t.Errorf("no keyring: error %v", err)
	}
	mustSync(t, openRing(t, dir))
	if b, err := os.ReadFile(Path(dir, store.Sandbox)); err != nil || !bytes.HasPrefix(b, []byte(magic)) {
		t.Errorf("a keyring without a recovery key is not of version 1, %v", err)
	}
	if err := SetRecovery(dir, local(), k); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(filepath.Join(dir, recoveryName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st, err)
	}
	next := must(t)(NextLocal(dir))
	if err := Rotate(dir, local(), next); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := Open(Path(dir, store.Production), local(), Options{NoSync: true})
		if err != nil || r.recovery == nil || r.recovery.author != k.author() {
			t.Fatalf("%+v, %v", r, err)
		}
		mustSync(t, r)
	}
}
