package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
)

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestOrderOfSources: a credential goes before a key file, that before a
// passphrase, and the local key comes last.
func TestOrderOfSources(t *testing.T) {
	dir, credentials := t.TempDir(), t.TempDir()
	write(t, filepath.Join(credentials, CredentialName), bytes.Repeat([]byte{1}, keyLen))
	near := filepath.Join(t.TempDir(), "key")
	write(t, near, bytes.Repeat([]byte{2}, keyLen))
	all := MasterOptions{Dir: dir, Credentials: credentials, KeyFile: keyFile(t), Ask: phrase("correct horse battery")}
	if sameDisk(all.KeyFile, dir) {
		t.Skip("there is one file system only")
	}
	for _, want := range []Source{Credential, KeyFile, SameDisk, Passphrase, Local} {
		m, err := FindMaster(all)
		if err != nil || m.Source() != want {
			t.Errorf("%v, %v, want %s", m, err, want)
		}
		if (want.Warning() != "") != (want == Local || want == SameDisk) {
			t.Errorf("%s warns: %q", want, want.Warning())
		}
		switch want {
		case Credential:
			all.Credentials = t.TempDir() // of another service
		case KeyFile:
			all.KeyFile = near
			all.Dir = filepath.Join(dir, "not", "there", "yet")
		case SameDisk:
			all.KeyFile, all.Dir = "", dir
		case Passphrase:
			all.Ask = nil
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("wrote %v", entries)
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	raw := bytes.Repeat([]byte{0xa1}, keyLen)
	for name, tt := range map[string]struct {
		content []byte
		good    bool
	}{
		"bytes":       {raw, true},
		"hex":         {[]byte(hex.EncodeToString(raw)), true},
		"hex, a line": {[]byte(strings.ToUpper(hex.EncodeToString(raw)) + "\n"), true},
		"empty":       {nil, false},
		"short":       {raw[1:], false},
		"long":        {append(raw, 0), false},
		"not hex":     {bytes.Repeat([]byte("x"), 2*keyLen), false},
		"zeros":       {make([]byte, keyLen), false},
	} {
		write(t, path, tt.content)
		m, err := FindMaster(MasterOptions{KeyFile: path})
		if tt.good && (err != nil || m.keys[0] != key(raw)) || !tt.good && (!errors.Is(err, ErrMaster) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := FindMaster(MasterOptions{KeyFile: path + "s"}); !errors.Is(err, ErrMaster) {
		t.Errorf("missing: %v", err)
	}
}

// TestWrongMaster: a master key that does not fit is refused with a reason, and
// nothing is changed.
func TestWrongMaster(t *testing.T) {
	usb := keyFile(t)
	words := MasterOptions{Ask: phrase("correct horse battery")}
	for _, tt := range []struct {
		name     string
		made, by MasterOptions
		lose     string // a file that is gone then
		says     string
	}{
		{"local key is gone", MasterOptions{}, MasterOptions{}, localName, "put it back"},
		{"another key file", MasterOptions{KeyFile: usb}, MasterOptions{KeyFile: keyFile(t)}, "", "is wrapped with the key"},
		{"no key file", MasterOptions{KeyFile: usb}, MasterOptions{}, "", "of the source key-file"},
		{"another passphrase", words, MasterOptions{Ask: phrase("correct horse staple")}, "", "passphrase is another"},
		{"no passphrase", words, MasterOptions{}, "", "source passphrase"},
		{"a passphrase now", MasterOptions{KeyFile: usb}, words, "", "source now is passphrase"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			tt.made.Dir, tt.by.Dir = dir, dir
			r, err := Open(Path(dir, store.Sandbox), must(t)(FindMaster(tt.made)), Options{NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			mustSync(t, r)
			if tt.lose != "" {
				if err := os.Remove(filepath.Join(dir, tt.lose)); err != nil {
					t.Fatal(err)
				}
			}
			before := listing(t, dir)
			_, err = Open(Path(dir, store.Sandbox), must(t)(FindMaster(tt.by)), Options{})
			if !errors.Is(err, ErrMaster) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want ErrMaster with %q", err, tt.says)
			}
			if after := listing(t, dir); after != before {
				t.Errorf("changed\n%s to\n%s", before, after)
			}
		})
	}
}

// listing is all files below a folder, with what they hold.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		b.WriteString(path + " " + hex.EncodeToString(content) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	path := Path(dir, store.Sandbox)
	asked := 0
	m := must(t)(FindMaster(MasterOptions{Dir: dir, Ask: func(isNew bool) ([]byte, error) {
		if isNew != (asked == 0) {
			t.Errorf("asked for a new one: %v, time %d", isNew, asked)
		}
		asked++
		return []byte("correct horse battery"), nil
	}}))
	r, err := Open(path, m, Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	ada := mustSeal(t, r, ofAda, "ada")
	mustSync(t, r)
	if r, err = Open(path, m, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := opens(r, ofAda, ada, "ada"); err != nil {
		t.Error(err)
	}
	if in, err := Inspect(path); err != nil || in.Source != Passphrase || in.Keys != 1 || r.header.Source != Passphrase {
		t.Errorf("inspected: %+v, %v", in, err)
	}
	short := must(t)(FindMaster(MasterOptions{Ask: phrase("too short")}))
	if _, err := Open(Path(t.TempDir(), store.Sandbox), short, Options{}); !errors.Is(err, ErrMaster) {
		t.Errorf("short: %v", err)
	}
	silent := must(t)(FindMaster(MasterOptions{Ask: func(bool) ([]byte, error) { return nil, errCut }}))
	if _, err := Open(path, silent, Options{}); !errors.Is(err, errCut) {
		t.Errorf("no answer: %v", err)
	}
}

// TestLocalKeyIsNeverReplaced: a key that came meanwhile stays, as it may be all
// that opens another keyring.
func TestLocalKeyIsNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	path := filepath.Join(dir, localName)
	theirs := bytes.Repeat([]byte{7}, keyLen)
	write(t, path, theirs)
	if err := r.Sync(); err == nil {
		t.Error("no error")
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, theirs) {
		t.Errorf("%x, %v", b, err)
	}
}

func TestParseMaster(t *testing.T) {
	for setting, want := range map[string]MasterOptions{
		"": {}, "file:/media/usb/key": {KeyFile: "/media/usb/key"},
	} {
		got, err := ParseMaster(setting)
		if err != nil || got.KeyFile != want.KeyFile || got.Ask != nil {
			t.Errorf("%q: %+v, %v", setting, got, err)
		}
	}
	for _, setting := range []string{"file:", "usb", "passphrase:x", "passphrase-fd:", "passphrase-fd:x", "passphrase-fd:-1", "passphrase-fd:99999"} {
		if _, err := ParseMaster(setting); err == nil {
			t.Errorf("%q: no error", setting)
		}
	}
	if opt, err := ParseMaster("passphrase"); err != nil || opt.Ask == nil {
		t.Errorf("passphrase: %v", err)
	}
}

// TestKeyMoved: the same key from elsewhere opens the keyring, which then says
// where the key is now.
func TestKeyMoved(t *testing.T) {
	dir := t.TempDir()
	r := openRing(t, dir)
	ada := mustSeal(t, r, ofAda, "ada")
	mustSync(t, r)
	k, err := readKey(filepath.Join(dir, localName))
	if err != nil {
		t.Fatal(err)
	}
	credentials := t.TempDir()
	write(t, filepath.Join(credentials, CredentialName), k[:])
	path := Path(dir, store.Sandbox)
	if r, err = Open(path, must(t)(FindMaster(MasterOptions{Dir: dir, Credentials: credentials})), Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	if err := opens(r, ofAda, ada, "ada"); err != nil || r.header.Source != Credential {
		t.Errorf("source %s, %v", r.header.Source, err)
	}
	mustSync(t, r)
	if in, err := Inspect(path); err != nil || in.Source != Credential {
		t.Errorf("inspected: %+v, %v", in, err)
	}
}

// TestLocalKeyByName: a local key that is named as a key file is still the local
// one, which is warned of, and which a rotation to it does not destroy.
func TestLocalKeyByName(t *testing.T) {
	dir := t.TempDir()
	mustSync(t, openRing(t, dir))
	named := must(t)(FindMaster(MasterOptions{Dir: dir, KeyFile: filepath.Join(dir, localName)}))
	if named.source != Local {
		t.Errorf("source %s", named.source)
	}
	if err := Rotate(dir, must(t)(FindMaster(MasterOptions{Dir: dir})), named); err != nil {
		t.Fatal(err)
	}
	openRing(t, dir)
}

func TestPassphraseFromDescriptor(t *testing.T) {
	for in, want := range map[string]string{
		"correct horse\n": "correct horse", "correct horse\r\nrest": "correct horse", "no end of line": "no end of line",
		"": "", "\n": "", strings.Repeat("x", 2*maxPhrase): "",
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.WriteString(in); err != nil {
			t.Fatal(err)
		}
		w.Close()
		fd, err := unix.Dup(int(r.Fd())) // which it closes
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		opt, err := ParseMaster(fmt.Sprintf("passphrase-fd:%d", fd))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := opt.Ask(false)
			if string(got) != want || (err == nil) != (want != "") {
				t.Errorf("%.20q: %q, %v", in, got, err)
			}
			clear(got) // as the key derivation does
			if want == "" {
				break
			}
		}
	}
}
