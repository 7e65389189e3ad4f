package daemon

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// contain lists the files below a folder that have a word in them.
func contain(t *testing.T, dir, word string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToLower(b), []byte(word)) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The data lies encrypted without anybody's doing, and the box says what that
// does not protect from, wherever somebody looks.
func TestDataIsSealedByDefault(t *testing.T) {
	dir := shortDir(t)
	d := start(t, dir, "--camera", "none:")
	d.enrol("adalbertine", mate)
	const warning = "theft of the storage"
	for where, text := range map[string]string{"log": d.log.String(), "page": d.get("/"), "readiness": d.get("/readyz")} {
		if !strings.Contains(text, warning) {
			t.Errorf("%s: %s", where, text)
		}
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	if files := contain(t, dir, "adalbertine"); len(files) > 0 {
		t.Errorf("the name lies open in %v", files)
	}

	key, keyring := filepath.Join(dir, "master.key"), filepath.Join(dir, "sandbox", "keyring")
	before, err := os.ReadFile(keyring)
	if err != nil {
		t.Fatal(err)
	}
	usb := filepath.Join(filepath.Dir(dir), "usb.key")
	if err := os.Rename(key, usb); err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), Box, []string{"--data", dir, "--listen", "127.0.0.1:0", "--packs", packs}, func(string) string { return "" }, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "put it back") {
		t.Errorf("without its key: %v", err)
	}
	if after, err := os.ReadFile(keyring); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the keyring was changed, %v", err)
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("another key was made")
	}
	again := start(t, dir, "--camera", "none:", "--master-key", "file:"+usb)
	again.call("POST", "/identify", other, 200)
}

// A process with a box's memory leaves no core, and no other program of its user
// gets at it.
func TestMemoryIsHidden(t *testing.T) {
	if os.Getenv("HIDE_MEMORY") != "" {
		hideMemory("test", os.Stderr)
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		var limit unix.Rlimit
		if err != nil || dumpable != 0 || unix.Getrlimit(unix.RLIMIT_CORE, &limit) != nil || limit.Cur != 0 {
			t.Errorf("dumpable %d, limit %+v, %v", dumpable, limit, err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryIsHidden$") // for it cannot be undone
	cmd.Env = append(os.Environ(), "HIDE_MEMORY=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
