package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

func doctorCommand() command {
	return command{
		name: "doctor", args: "[flags]",
		summary: "what is missing on this box, and how to mend it",
		help: `Looks at what a box needs: the pack and the library that runs it, the JPEG
decoder, cameras, the data folder, disk space, the clock, and whether the box
answers. Exit status: 0 all is well or only to be noted, 1 something needs
mending.

  cypherface doctor
  cypherface doctor --data /var/lib/cypherface --json
`,
		run: runDoctor,
	}
}

// A finding is one thing that was looked at.
type finding struct {
	What  string `json:"what"`
	State state  `json:"state"`
	Found string `json:"found"`
	Mend  string `json:"mend,omitempty"`
}

// state is how a thing is.
type state string

const (
	fine   state = "ok"
	note   state = "note" // works, but should be known
	broken state = "mend"
)

// A checkup is what doctor looks at; the paths are fields so that tests can
// point elsewhere.
type checkup struct {
	data, packs string
	devices     string // pattern of the cameras
	now         time.Time
}

func runDoctor(ctx context.Context, t *terminal, args []string) error {
	flags, asJSON := doctorCommand().flags(t)
	box := addBoxFlags(flags, t)
	rest, err := parse(t, flags, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		flags.Usage()
		return errUsage
	}
	c := checkup{data: *box.data, packs: models.Root(*box.packs, t.getenv), devices: "/dev/video[0-9]*", now: time.Now()}
	findings := []finding{
		c.networks(ctx), c.pad(ctx), jpegDecoder(), c.camera(), c.folder(), c.rest(store.Sandbox), c.recovery(), c.space(), c.clock(), c.daemon(),
	}
	if exists(bolt.Path(c.data, store.Production)) {
		findings = append(findings, c.rest(store.Production))
	}
	if aside, ok := c.aside(); ok {
		findings = append(findings, aside)
	}
	if *asJSON {
		err = printJSON(t.out, findings)
	} else {
		for _, f := range findings {
			fmt.Fprintf(t.out, "%-5s %-10s %s\n", f.State, f.What, f.Found)
			if f.Mend != "" {
				fmt.Fprintf(t.out, "%-16s → %s\n", "", f.Mend)
			}
		}
	}
	for _, f := range findings {
		if err == nil && f.State == broken {
			err = errNo
		}
	}
	return err
}

// networks opens the pack in use, runs it, and has it recognise known faces.
func (c checkup) networks(ctx context.Context) finding {
	const what = "pack"
	pack, err := models.Default(c.packs)
	if errors.Is(err, models.ErrNoPack) {
		return finding{what, broken, "none in " + c.packs, "cypherface models pull standard, or cypherface models import FOLDER"}
	} else if err != nil {
		return finding{what, broken, err.Error(), "cypherface models list shows what there is, cypherface models import FOLDER brings another"}
	}
	err = tflite.ProbeOnce(ctx, "", pack)
	if err == nil {
		err = selfTest(ctx, pack)
	}
	switch {
	case errors.Is(err, tflite.ErrNoRuntime):
		return finding{what, broken, err.Error(), "build with cgo: make build"}
	case errors.Is(err, models.ErrDamaged):
		return finding{what, broken, err.Error(), "cypherface models pull " + pack.Name + ", or cypherface models import FOLDER"}
	case err != nil:
		return finding{what, broken, err.Error(), "cypherface models use NAME chooses another pack"}
	}
	return finding{what, fine, fmt.Sprintf("%s in %s: recognises the faces of the self-test", pack.Name, pack.Dir), ""}
}

// pad tries the pack against presentation attacks.
func (c checkup) pad(ctx context.Context) finding {
	const what = "pad"
	p, err := models.Beside(c.packs)
	if p == nil && err == nil {
		return finding{what, note, "no networks against presentation attacks: liveness decides without their vote", "cypherface models pull pad, or cypherface models import FOLDER (docs/liveness.md)"}
	}
	if err == nil {
		if err = p.Verify(); err == nil {
			err = tflite.ProbeOnce(ctx, "", p)
		}
	}
	if err != nil {
		return finding{what, broken, err.Error(), "cypherface models pull pad, or cypherface models import FOLDER"}
	}
	return finding{what, fine, "networks against presentation attacks vote on liveness", ""}
}

func selfTest(ctx context.Context, pack *models.Pack) error {
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if err != nil {
		return err
	}
	return errors.Join(tflite.SelfTest(ctx, e, pack), networks.Close())
}

func jpegDecoder() finding {
	if picture.Turbo() {
		return finding{"jpeg", fine, "libjpeg-turbo", ""}
	}
	return finding{"jpeg", note, "Go's own decoder, about five times slower than libjpeg-turbo", "apt-get install libturbojpeg0"}
}

// camera looks for webcams that this user may open.
func (c checkup) camera() finding {
	const what = "camera"
	paths, _ := filepath.Glob(c.devices) // the pattern is well formed
	if len(paths) == 0 {
		return finding{what, note, "no webcam; auto: shows the demo people", "plug one in; it is then used at the next start"}
	}
	var usable []string
	for _, path := range paths {
		if unix.Access(path, unix.R_OK|unix.W_OK) == nil {
			usable = append(usable, path)
		}
	}
	if len(usable) == 0 {
		return finding{what, broken, strings.Join(paths, ", ") + ": this user may not open it", "usermod -aG video USER, then sign in anew (the systemd unit has that group)"}
	}
	return finding{what, fine, strings.Join(usable, ", "), ""}
}

// folder looks at who may read the data.
func (c checkup) folder() finding {
	const what = "data"
	st, err := os.Stat(c.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{what, note, c.data + " is not there yet", "cypherfaced --data " + c.data + " makes it at its first start"}
	case err != nil:
		return finding{what, broken, err.Error(), "run this as the user of the box, or as root: sudo cypherface doctor"}
	case !st.IsDir():
		return finding{what, broken, c.data + " is not a folder", "name another with --data DIR"}
	case st.Mode().Perm()&0o077 != 0:
		return finding{what, broken, fmt.Sprintf("%s has mode %04o: other users of this machine can look in", c.data, st.Mode().Perm()), "chmod 700 " + c.data}
	case unix.Access(c.data, unix.W_OK) != nil:
		return finding{what, broken, c.data + " cannot be written", "run this as the user of the box, or mount its file system for writing"}
	}
	return finding{what, fine, c.data + ", for its owner alone", ""}
}

// rest says how the data is protected while the box is off.
func (c checkup) rest(env store.Environment) finding {
	what := "at rest"
	if env == store.Production {
		what = "production"
	}
	ring, err := seal.Inspect(seal.Path(c.data, env))
	switch {
	case errors.Is(err, fs.ErrNotExist) && exists(bolt.Path(c.data, env)):
		return finding{what, note, "not encrypted: whoever takes the storage can read names and templates", "start the box of this version once: it encrypts what it has"}
	case errors.Is(err, fs.ErrNotExist):
		return finding{what, note, "nothing is kept yet; the master key will lie beside it", "cypherfaced.conf, master-key, says where else"}
	case err != nil:
		return finding{what, broken, err.Error(), "put the file keyring back from where it was; without it nobody is known"}
	case ring.Source.Warning() != "":
		return finding{what, note, "encrypted, but " + ring.Source.Warning(), "cypherface key rotate --to file:PATH moves the key elsewhere"}
	}
	return finding{what, fine, "encrypted; the master key comes from outside: " + string(ring.Source), ""}
}

// recovery says whether a backup could bring the data back.
func (c checkup) recovery() finding {
	const what = "recovery"
	p, err := seal.ReadRecovery(c.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return finding{what, note, "no recovery key: a lost disk or master key means lost data", "cypherface key recovery new, with the box stopped; then cypherface store backup"}
	case err != nil:
		return finding{what, broken, err.Error(), ""}
	}
	return finding{what, fine, "backups are sealed to the recovery key " + p.Fingerprint(), ""}
}

// aside names what restores have moved aside, if there is any.
func (c checkup) aside() (finding, bool) {
	folders, _ := filepath.Glob(filepath.Join(c.data, "*.before-*")) // the pattern is well formed
	if len(folders) == 0 {
		return finding{}, false
	}
	return finding{"aside", note, "from before a restore there is " + strings.Join(folders, ", "), "remove it when nothing in it is wanted any more"}, true
}

// Free space below which a box is in danger, and below which it is to be noted.
const (
	spaceBroken = 256 << 20
	spaceNote   = 2 << 30
)

func (c checkup) space() finding {
	const what = "space"
	dir := c.data
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return finding{what, broken, err.Error(), "name the data folder with --data DIR"}
	}
	free := st.Bavail * uint64(st.Bsize)
	found := fmt.Sprintf("%.1f GB free in %s", float64(free)/1e9, dir)
	switch {
	case free < spaceBroken:
		return finding{what, broken, found, "free some; a box without space keeps no events and enrols nobody"}
	case free < spaceNote:
		return finding{what, note, found, "free some before it fills up"}
	}
	return finding{what, fine, found, ""}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// clock looks whether the time can be right, and whether somebody keeps it so.
func (c checkup) clock() finding {
	const what = "clock"
	if c.now.Year() < 2026 {
		return finding{what, broken, "it says " + c.now.Format("2 January 2006"), "set it: timedatectl set-time, or connect a time server"}
	}
	var tx unix.Timex
	found := c.now.UTC().Format("2006-01-02 15:04:05 UTC")
	if status, err := unix.Adjtimex(&tx); err != nil || status == unix.TIME_ERROR {
		return finding{what, note, found + ", kept by no time server", "timedatectl set-ntp true; tokens and schedules depend on the time"}
	}
	return finding{what, fine, found + ", kept by a time server", ""}
}

// daemon asks the box how it is.
func (c checkup) daemon() finding {
	const what = "box"
	conn, err := net.DialTimeout("unix", filepath.Join(c.data, "control.sock"), 2*time.Second)
	if errors.Is(err, fs.ErrPermission) {
		return finding{what, broken, "its control socket is not for this user", "run this as the user of the box, or as root: sudo cypherface doctor"}
	} else if err != nil {
		return finding{what, note, "not running on " + c.data, "systemctl start cypherfaced, or make run"}
	}
	conn.Close()
	cl := socketClient(conn.RemoteAddr().String(), store.Sandbox)
	var s struct {
		Ready                                  bool
		Reason, Camera, Fault, Pack, Migration string
		People                                 int
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := cl.call(ctx, "GET", "/control/status", nil, &s); err != nil {
		return finding{what, broken, "running, but: " + err.Error(), "journalctl -u cypherfaced tells more"}
	}
	found := fmt.Sprintf("running, pack %s, %d people, camera %s", s.Pack, s.People, s.Camera)
	switch {
	case !s.Ready:
		return finding{what, note, "running, not ready: " + s.Reason, ""}
	case s.Fault != "":
		return finding{what, broken, found, s.Fault}
	case s.Migration != "":
		return finding{what, note, found, s.Migration}
	}
	return finding{what, fine, found, ""}
}
