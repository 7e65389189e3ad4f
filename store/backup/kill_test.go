package backup

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store/seal"
)

var killsFlag = flag.Int("backup.kills", 12, "how often a restoring process is killed")

// childEnv names the data folder that a child process of this test restores, and the
// backup, beside which lies its recovery key.
const childEnv = "BACKUP_TEST_CHILD"

// TestKilled kills processes that restore, at random moments and with real syncs:
// what opens afterwards is the box from before or the restored one, each whole, and
// another restore completes it.
func TestKilled(t *testing.T) {
	if dir, path, child := strings.Cut(os.Getenv(childEnv), "\n"); child {
		restoreAsChild(t, dir, path)
		return
	}
	before, path := boxToKill(t)
	kills, restored := *killsFlag, 0
	if testing.Short() {
		kills = 3
	}
	for range kills {
		b := &box{T: t, dir: filepath.Join(t.TempDir(), "data"), key: before.key}
		if err := os.CopyFS(b.dir, os.DirFS(before.dir)); err != nil {
			t.Fatal(err)
		}
		b.restoreAndKill(path, time.Duration(rand.Int64N(int64(80*time.Millisecond))))
		b.open()
		want := "bob eve"
		if b.events()[0].Action == "restore" {
			want = "bob"
			restored++
		}
		if got := b.people(); got != want {
			t.Errorf("there are %q, want %q", got, want)
		}
		b.close()
		if _, err := Restore(t.Context(), b.plan(path)); err != nil {
			t.Errorf("another restore: %v", err)
		}
		b.checkCut("", "bob", true)
	}
	t.Logf("%d of %d were restored before they were killed", restored, kills)
}

// boxToKill is a box whose backup is older than an erasure and a new person.
func boxToKill(t *testing.T) (*box, string) {
	t.Helper()
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	b.put("eve")
	b.close()
	if err := os.WriteFile(path+".key", []byte(b.key.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	return b, path
}

func restoreAsChild(t *testing.T, dir, path string) {
	text, err := os.ReadFile(path + ".key")
	if err != nil {
		t.Fatal(err)
	}
	b := &box{T: t, dir: dir}
	if b.key, err = seal.ParseRecoveryKey(text); err != nil {
		t.Fatal(err)
	}
	plan := b.plan(path)
	plan.noSync = false
	fmt.Println("begin")
	if _, err := Restore(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
}

// restoreAndKill starts the child and kills it some time after it has begun.
func (b *box) restoreAndKill(path string, after time.Duration) {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), childEnv+"="+b.dir+"\n"+path)
	out, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		b.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // says that it was killed
}
