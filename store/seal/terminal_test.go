package seal

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal: what a person sees and types, and what a
// process has.
func terminal(t *testing.T) (person, process *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { person.Close() })
	fd := int(person.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		process, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { process.Close() })
	return person, process
}

const askEnv = "SEAL_TEST_ASK"

// TestAskTerminal types at a child process that has a terminal. What is typed is
// not shown.
func TestAskTerminal(t *testing.T) {
	if how := os.Getenv(askEnv); how != "" {
		phrase, err := askTerminal(how == "new")
		fmt.Printf("%s|%v\n", phrase, err)
		os.Exit(0)
	}
	const words = "correct horse battery"
	for _, tt := range []struct {
		how   string
		typed []string
		want  string
	}{
		{"known", []string{words}, words + "|<nil>"},
		{"new", []string{words, words}, words + "|<nil>"},
		{"new", []string{words, "another"}, "the two differ"},
		{"known", []string{""}, "empty"},
	} {
		person, process := terminal(t)
		cmd := exec.Command(os.Args[0], "-test.run=^TestAskTerminal$")
		cmd.Env = append(os.Environ(), askEnv+"="+tt.how)
		cmd.Stdin = process
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		shown := ""
		for _, line := range tt.typed {
			shown += readUntil(t, person, ": ")
			if _, err := person.WriteString(line + "\n"); err != nil {
				t.Fatal(err)
			}
		}
		got, err := io.ReadAll(out)
		if err != nil || !strings.Contains(string(got), tt.want) {
			t.Errorf("%s %q: got %q, %v, want %q", tt.how, tt.typed, got, err, tt.want)
		}
		if strings.Contains(shown, "horse") || !strings.Contains(shown, "assphrase of the box") {
			t.Errorf("the terminal shows %q", shown)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		after, err := unix.IoctlGetTermios(int(process.Fd()), unix.TCGETS)
		if err != nil || after.Lflag&unix.ECHO == 0 {
			t.Errorf("the terminal stays silent, %v", err)
		}
	}
}

// readUntil reads what a terminal shows until it ends with a prompt.
func readUntil(t *testing.T, f *os.File, end string) string {
	t.Helper()
	var shown []byte
	b := make([]byte, 256)
	for !strings.HasSuffix(string(shown), end) {
		n, err := f.Read(b)
		if err != nil {
			t.Fatalf("after %q: %v", shown, err)
		}
		shown = append(shown, b[:n]...)
	}
	return string(shown)
}
