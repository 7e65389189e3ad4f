package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"io"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/camera/ipcam"
	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/picture"
)

func cameraCommand() command {
	return command{
		name: "camera", args: "list|probe|snapshot|login|logout [flags] [URL|HOST]",
		summary: "webcams, cameras on the network, and those of the box",
		help: `list       the webcams that are plugged in, with a URL that finds each again, and how
           the cameras of a running box are
probe      opens a camera for --seconds and says what it gives: size, rate, drops, the
           health of its picture, and what it cannot do of what the URL asks
snapshot   one picture, of a URL, or of the running box (--door for that of a door)
login      keeps a name and password for a camera on the network in the box's store,
           encrypted; the password is one line of standard input
logout     forgets it

A camera that the box uses is busy for probe; its state is in list.

  cypherface camera list
  cypherface camera probe 'v4l2:?id=usb-0000:00:14.0-1&exposure=8'
  cypherface camera probe rtsp://10.0.0.7/stream1 --user admin
  cypherface camera snapshot --out door.jpg --door 5f0c0ffee0c0ffee0c0ffee0
  cypherface camera login 10.0.0.7:554 --user admin
`,
		run: runCamera,
	}
}

// cameraFlags are the flags of the words of camera.
type cameraFlags struct {
	box           boxFlags
	seconds       float64
	user, out     string
	door, devices string
}

func runCamera(ctx context.Context, t *terminal, args []string) error {
	fs, asJSON := cameraCommand().flags(t)
	f := &cameraFlags{box: addBoxFlags(fs, t)}
	fs.Float64Var(&f.seconds, "seconds", 5, "how long to probe")
	fs.StringVar(&f.user, "user", "", "`name` for a camera on the network; its password is read from standard input")
	fs.StringVar(&f.out, "out", "snapshot.jpg", "`file` for the snapshot; - is standard output")
	fs.StringVar(&f.door, "door", "", "`id` of the door whose camera to take the snapshot of")
	fs.StringVar(&f.devices, "devices", "/dev", "`folder` of the webcams")
	words, err := parse(t, fs, args)
	if err != nil {
		return err
	}
	verbs := map[string]struct {
		least, most int // arguments
		run         func(context.Context, *terminal, []string, bool) error
	}{
		"list": {0, 0, f.list}, "probe": {1, 1, f.probe}, "snapshot": {0, 1, f.snapshot}, "login": {1, 1, f.login}, "logout": {1, 1, f.login},
	}
	if len(words) == 0 {
		return badUsage(fs)
	}
	v, ok := verbs[words[0]]
	if n := len(words) - 1; !ok || n < v.least || n > v.most || f.seconds <= 0 || f.seconds > 3600 || words[0] == "login" && f.user == "" {
		return badUsage(fs)
	}
	if words[0] == "logout" {
		f.user = ""
	}
	return v.run(ctx, t, words[1:], *asJSON)
}

func badUsage(fs *flag.FlagSet) error {
	fs.Usage()
	return errUsage
}

// cameraList is the answer of camera list.
type cameraList struct {
	Webcams []webcam          `json:"webcams"`
	Box     []api.CameraState `json:"box,omitempty"` // those of a running box
}

type webcam struct {
	v4l2.Device
	URL string `json:"url"`
}

func (f *cameraFlags) list(ctx context.Context, t *terminal, _ []string, asJSON bool) error {
	list := cameraList{Webcams: []webcam{}}
	for _, d := range v4l2.List(f.devices) {
		list.Webcams = append(list.Webcams, webcam{d, d.URL()})
	}
	if c := f.running(); c != nil {
		defer c.Close()
		var s struct{ Cameras []api.CameraState }
		if err := c.call(ctx, "GET", "/control/status", nil, &s); err != nil {
			return err
		}
		list.Box = s.Cameras
	}
	if asJSON {
		return printJSON(t.out, list)
	}
	if len(list.Webcams) == 0 {
		fmt.Fprintf(t.out, "no webcam is plugged in (%s/video*)\n", f.devices)
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, d := range list.Webcams {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Path, d.Name, d.URL, strings.Join(d.Modes[:min(3, len(d.Modes))], ", "))
	}
	for _, c := range list.Box {
		name := "the box"
		if c.Door != "" {
			name = strings.TrimSpace("door " + string(c.Door) + " " + c.Name)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, c.Camera, healthLine(c.Health))
		for _, n := range append(c.Notes, c.Trouble) {
			if n != "" {
				fmt.Fprintf(w, "\t%s\n", n)
			}
		}
	}
	return w.Flush()
}

// running is a client of the box if one runs, else nil.
func (f *cameraFlags) running() *client {
	if _, err := os.Stat(f.box.socket()); err != nil {
		return nil
	}
	return socketClient(f.box.socket(), f.box.environment())
}

func healthLine(h camera.Health) string {
	if h.Picture == "" {
		return fmt.Sprintf("%.1f frames/s, picture not known yet", h.Rate)
	}
	s := fmt.Sprintf("picture %s, %.1f frames/s, brightness %.2f, sharpness %.2f, noise %.1f", h.Picture, h.Rate, h.Brightness, h.Sharpness, h.Noise)
	if h.Night {
		s += ", night"
	}
	return s
}

// probeReport is the answer of camera probe.
type probeReport struct {
	URL     string        `json:"url"` // without credentials
	Device  string        `json:"device"`
	Status  camera.Status `json:"status"`
	Size    image.Point   `json:"size"`
	Frames  uint64        `json:"frames"`
	Dropped uint64        `json:"dropped"`
	Faults  []string      `json:"faults,omitempty"`
	Notes   []string      `json:"notes,omitempty"`
	Health  camera.Health `json:"health"`
	First   float64       `json:"firstFrameSeconds"` // after opening; 0: none came
}

func (f *cameraFlags) probe(ctx context.Context, t *terminal, words []string, asJSON bool) error {
	r := probeReport{}
	began := time.Now()
	cam, err := f.openCamera(ctx, t, words[0], func(s camera.State) {
		if s.Err != nil {
			r.Faults = append(r.Faults, s.Err.Error())
		}
	})
	if err != nil {
		return err
	}
	defer cam.Close()
	limit, cancel := context.WithTimeout(ctx, time.Duration(f.seconds*float64(time.Second)))
	defer cancel()
	for {
		frame, err := cam.Next(limit)
		if err != nil {
			break // the time is over
		}
		if r.First == 0 {
			r.First = time.Since(began).Seconds()
		}
		r.Size = frame.Image.Rect.Size()
	}
	s := cam.State()
	u, _ := url.Parse(words[0]) // it was opened
	r.URL, r.Device, r.Status, r.Frames, r.Dropped, r.Notes, r.Health = camera.Redact(u), s.Device, s.Status, s.Frames, s.Dropped, s.Notes, s.Health
	if asJSON {
		err = printJSON(t.out, r)
	} else {
		r.print(t.out, f.seconds)
	}
	if err == nil && r.Frames == 0 {
		return errNo
	}
	return err
}

func (r probeReport) print(w io.Writer, seconds float64) {
	fmt.Fprintf(w, "%s\n%s: %d frames of %d×%d in %.0f s, %d dropped, the first after %.2f s\n",
		r.Device, r.Status, r.Frames, r.Size.X, r.Size.Y, seconds, r.Dropped, r.First)
	fmt.Fprintln(w, healthLine(r.Health))
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	for _, e := range r.Faults {
		fmt.Fprintln(w, "fault:", e)
	}
}

// openCamera opens a camera in this process.
func (f *cameraFlags) openCamera(ctx context.Context, t *terminal, raw string, changed func(camera.State)) (*camera.Camera, error) {
	network := ipcam.Driver{}
	if f.user != "" {
		password, err := readPassword(t)
		if err != nil {
			return nil, err
		}
		network.Login = func(context.Context, string) (string, string, bool, error) { return f.user, password, true, nil }
	}
	return camera.Open(ctx, raw, camera.Options{Changed: changed, Drivers: map[string]camera.Driver{
		"v4l2": v4l2.Open, "http": network.Open, "https": network.Open, "rtsp": network.Open, "rtsps": network.Open,
	}})
}

func (f *cameraFlags) snapshot(ctx context.Context, t *terminal, words []string, asJSON bool) error {
	var b []byte
	var err error
	if len(words) == 1 {
		b, err = f.shoot(ctx, t, words[0])
	} else {
		var c *client
		if c, err = f.box.connect(ctx, t, false); err == nil {
			defer c.Close()
			var answer io.ReadCloser
			if answer, err = c.send(ctx, "GET", "/camera/snapshot?door="+url.QueryEscape(f.door), nil); err == nil {
				defer answer.Close()
				b, err = io.ReadAll(answer)
			}
		}
	}
	if err != nil {
		return err
	}
	if f.out == "-" {
		_, err = t.out.Write(b)
		return err
	}
	if err := os.WriteFile(f.out, b, 0o600); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, map[string]any{"file": f.out, "bytes": len(b)})
	}
	fmt.Fprintf(t.out, "%s: %d bytes\n", f.out, len(b))
	return nil
}

// shoot takes a picture of a camera that the box does not have.
func (f *cameraFlags) shoot(ctx context.Context, t *terminal, raw string) ([]byte, error) {
	var fault error
	cam, err := f.openCamera(ctx, t, raw, func(s camera.State) { fault = cmp.Or(s.Err, fault) })
	if err != nil {
		return nil, err
	}
	defer cam.Close()
	limit, cancel := context.WithTimeout(ctx, time.Duration(f.seconds*float64(time.Second)))
	defer cancel()
	frame, err := cam.Next(limit)
	if err != nil {
		return nil, cmp.Or(cam.State().Err, fault, err)
	}
	return picture.EncodeJPEG(frame.Image, 90)
}

// login tells the box a camera's name and password, or with no name to forget it.
func (f *cameraFlags) login(ctx context.Context, t *terminal, words []string, asJSON bool) error {
	var password string
	if f.user != "" {
		var err error
		if password, err = readPassword(t); err != nil {
			return err
		}
	}
	c, err := f.box.connect(ctx, t, false)
	if err != nil {
		return err
	}
	defer c.Close()
	var done struct {
		Success bool `json:"success"`
	}
	host := words[0]
	if u, err := url.Parse(host); err == nil && u.Host != "" { // the whole URL will do
		host = u.Host
	}
	if err := c.call(ctx, "PUT", "/control/camera/login", map[string]string{"host": host, "user": f.user, "password": password}, &done); err != nil {
		return err
	}
	if asJSON {
		return printJSON(t.out, done)
	}
	if f.user == "" {
		fmt.Fprintf(t.out, "forgotten: the login of %s\n", host)
	} else {
		fmt.Fprintf(t.out, "kept: %s at %s; the camera is opened with it the next time\n", f.user, host)
	}
	return nil
}

// readPassword reads a line of standard input, without an echo where that is a
// terminal.
func readPassword(t *terminal) (string, error) {
	if f, ok := t.in.(*os.File); ok {
		if before, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			fmt.Fprint(t.err, "password: ")
			silent := *before
			silent.Lflag &^= unix.ECHO
			if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETSF, &silent); err != nil {
				return "", err
			}
			defer func() {
				_ = unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, before) // nothing else could be done
				fmt.Fprintln(t.err)
			}()
		}
	}
	line, err := bufio.NewReader(io.LimitReader(t.in, 1024)).ReadString('\n')
	if password := strings.TrimRight(line, "\r\n"); password != "" {
		return password, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	return "", fmt.Errorf("read the password from standard input: %w", err)
}
