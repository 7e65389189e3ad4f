package camera

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what a URL may ask of a device.
const (
	maxSide = 8192 // pixels
	maxFPS  = 240
)

// parseURL reads rawURL and turns what people type instead into hints.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error repeats the URL, and with it a password.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		if strings.Contains(rawURL, "@") {
			return nil, &Fault{"parse", "the camera's URL", fmt.Errorf("%w: not one", ErrURL), "write : / ? # @ and % in a name or password as %3A %2F %3F %23 %40 and %25"}
		}
		return nil, &Fault{"parse", strconv.Quote(rawURL), fmt.Errorf("%w: %w", ErrURL, err), ""}
	}
	switch {
	case networked(u) && u.Host == "":
		return nil, badURL(u, "names no host", "write "+u.Scheme+"://HOST/PATH, as the camera's manual has it")
	case networked(u) && u.Fragment == "":
		return u, nil
	case u.Scheme == "" && strings.HasPrefix(u.Path, "/dev/video"):
		return nil, badURL(u, "no scheme", "write v4l2:"+u.Path)
	case u.Scheme == "":
		return nil, badURL(u, "no scheme", "write file:"+u.Path+", dir:"+u.Path+" or auto:")
	case u.Host != "":
		return nil, badURL(u, "names a host", "write "+u.Scheme+":"+u.Path+" with one colon and no //host")
	case u.Fragment != "":
		return nil, badURL(u, "has a fragment", "write # in a file name as %23 and ? as %3F")
	}
	return u, nil
}

// networked reports whether u is of a camera on the network.
func networked(u *url.URL) bool {
	return slices.Contains([]string{"http", "https", "rtsp", "rtsps"}, u.Scheme)
}

// Redact is u for logs, events and people: without credentials. Of a camera on
// the network the values of the query are left out too, since some makers have
// the password there.
func Redact(u *url.URL) string {
	if !networked(u) {
		return u.Redacted()
	}
	bare := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	s := bare.String()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}

// RedactURL is Redact of what was typed, if that is a URL.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "not a URL"
	}
	return Redact(u)
}

func badURL(u *url.URL, what, hint string) error {
	return &Fault{"parse", strconv.Quote(Redact(u)), fmt.Errorf("%w: %s", ErrURL, what), hint}
}

// Path is the file or device that u names: "v4l2:/dev/video0" and
// "file:clip.y4m" carry it in different parts of a URL.
func Path(u *url.URL) (string, error) {
	if u.Opaque == "" {
		return u.Path, nil
	}
	p, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return "", badURL(u, err.Error(), "write % in a file name as %25")
	}
	return p, nil
}

// Params are the query parameters of a camera URL, for drivers. Parameters
// that were absent are zero.
type Params struct {
	Width, Height int    // size=1280x720, pixels
	FPS           int    // fps=30, frames a second
	Format        string // format=mjpg, "mjpg" or "yuyv"
	ID            string // id=NAME, what a device is called wherever it is plugged in

	Other map[string]string // what else the driver allows, unread
}

// ParseParams reads the query of u. A parameter that is not in allowed
// ("size", "fps", "format", "id", or words of the driver's own), stands there twice or has no usable value is an
// ErrURL with a hint.
func ParseParams(u *url.URL, allowed ...string) (Params, error) {
	var p Params
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, badURL(u, err.Error(), "parameters look like ?size=1280x720&fps=30")
	}
	for name, values := range query {
		if !slices.Contains(allowed, name) {
			return p, badURL(u, fmt.Sprintf("unknown parameter %q", name), allowedHint(u.Scheme, allowed))
		}
		if err := set(u, name, values, p.set); err != nil {
			return p, err
		}
	}
	return p, nil
}

// set hands the one value of a parameter to whoever stores it, or returns a hint.
func set(u *url.URL, name string, values []string, store func(name, value string) (hint string)) error {
	if len(values) > 1 {
		return badURL(u, fmt.Sprintf("parameter %q twice", name), "give it once")
	}
	if hint := store(name, values[0]); hint != "" {
		return badURL(u, fmt.Sprintf("parameter %s=%q", name, values[0]), hint)
	}
	return nil
}

// set stores one parameter, or returns a hint why it cannot.
func (p *Params) set(name, value string) (hint string) {
	switch name {
	case "size":
		w, h, _ := strings.Cut(value, "x")
		p.Width, p.Height = within(w, maxSide), within(h, maxSide)
		if p.Width == 0 || p.Height == 0 {
			return fmt.Sprintf("write size=WIDTHxHEIGHT in pixels, up to %dx%[1]d, such as size=1280x720", maxSide)
		}
	case "fps":
		if p.FPS = within(value, maxFPS); p.FPS == 0 {
			return fmt.Sprintf("write fps=N with N from 1 to %d", maxFPS)
		}
	case "format":
		if p.Format = value; value != "mjpg" && value != "yuyv" {
			return "formats are mjpg and yuyv"
		}
	case "id":
		if p.ID = value; value == "" {
			return "write id=NAME; cypherface camera list shows the names"
		}
	default:
		if p.Other == nil {
			p.Other = map[string]string{}
		}
		p.Other[name] = value
	}
	return ""
}

// within reads a number of 1..most, 0 for anything else.
func within(s string, most int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0
	}
	return n
}

func allowedHint(scheme string, allowed []string) string {
	return scheme + ": takes " + strings.Join(append(slices.Clone(allowed), viewParameters...), ", ")
}
