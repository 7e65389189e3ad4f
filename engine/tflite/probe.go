package tflite

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/cypherface/edge/models"
	"golang.org/x/sys/unix"
)

// ProbeWord is the first argument of a process that probes a pack. Programs
// that call [Probe] hand their arguments to [ProbeMain] before anything else.
const ProbeWord = "probe-pack"

// probedFile remembers in a pack's folder that it was probed: the digest of
// its manifest, and so of its networks, and of the runtime.
const probedFile = ".probed"

// ErrProbe marks a pack that must not be loaded here.
var ErrProbe = errors.New("the pack failed its trial")

// Probe runs a pack in a child process: every network is loaded, run and its
// answer compared with the manifest's, then the whole chain with the golden
// faces. A damaged network kills the process that loads it, so a pack nobody
// knows is never loaded here before a child survived it. exe is a program that
// calls [ProbeMain], "" means this one. What comes out is nil or an [ErrProbe]
// that says where the child ended.
func Probe(ctx context.Context, exe, dir string) error {
	if exe == "" {
		var err error
		if exe, err = os.Executable(); err != nil {
			return fmt.Errorf("probe pack: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, ProbeWord, dir)
	cmd.WaitDelay = time.Second
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{w: &out, left: 64 << 10}, &limited{w: &faults, left: 64 << 10}
	err := cmd.Run()
	if err == nil {
		return nil
	}
	stage := lastLine(out.String(), "starting")
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return fmt.Errorf("probe pack %s: %w: %w while %s", filepath.Base(dir), ErrProbe, ctx.Err(), stage)
	case ok && deadly(exit, faults.String()) != "":
		return fmt.Errorf("probe pack %s: %w: the trial process was killed by %s while %s", filepath.Base(dir), ErrProbe, deadly(exit, faults.String()), stage)
	case ok:
		return fmt.Errorf("probe pack %s: %w: %s", filepath.Base(dir), ErrProbe, lastLine(faults.String(), exit.String()+" while "+stage))
	}
	return fmt.Errorf("probe pack: %w", err)
}

// ProbeOnce probes a pack that this program does not know by heart and that
// was not probed before with these networks and this runtime. Call it before
// loading any pack.
func ProbeOnce(ctx context.Context, exe string, p *models.Pack) error {
	if Probed(p) {
		return nil
	}
	if err := Probe(ctx, exe, p.Dir); err != nil {
		return err
	}
	// A folder that cannot be written only costs another probe next time.
	_ = os.WriteFile(filepath.Join(p.Dir, probedFile), []byte(probeMark(p)), 0o644)
	return nil
}

func probeMark(p *models.Pack) string { return p.Digest() + " " + runtimeName + "\n" }

// ProbeMain does the child's part where args ask for it: then it returns the
// process's exit status and true.
func ProbeMain(ctx context.Context, args []string, out, errOut io.Writer) (code int, asked bool) {
	if len(args) != 2 || args[0] != ProbeWord {
		return 0, false
	}
	// A crash is an answer here, and a core dump of it is of no use.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	if err := probe(ctx, args[1], func(stage string) { fmt.Fprintln(out, stage) }); err != nil {
		fmt.Fprintln(errOut, err)
		return 1, true
	}
	return 0, true
}

// limited keeps the first bytes of what a child says, and swallows the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.w.Write(b[:n])
	return len(b), nil
}

// lastLine returns the last line of s that is not empty, or none.
func lastLine(s, none string) string {
	sc := bufio.NewScanner(strings.NewReader(s))
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" {
			none = line
		}
	}
	return none
}

// signalLine is how the Go runtime reports a signal from C code before it
// exits with status 2.
var signalLine = regexp.MustCompile(`(?m)^(?:\[signal )?(SIG[A-Z]+): `)

// deadly names the signal that ended the child, "" where none did.
func deadly(e *exec.ExitError, stderr string) string {
	if m := signalLine.FindStringSubmatch(stderr); m != nil {
		return m[1]
	}
	if st, ok := e.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return unix.SignalName(st.Signal())
	}
	return ""
}
