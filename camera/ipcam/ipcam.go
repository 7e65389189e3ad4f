// Package ipcam is the driver of cameras on the network:
//
//	http://10.0.0.7/video.mjpg     Motion JPEG over HTTP, also https
//	http://10.0.0.7/shot.jpg       single pictures, asked for four times a second
//	rtsp://10.0.0.7:554/stream1    RTSP over TCP, also rtsps: Motion JPEG, or H.264
//
//	d := ipcam.Driver{Login: login}
//	cam, err := camera.Open(ctx, url, camera.Options{Drivers: map[string]camera.Driver{"http": d.Open, "rtsp": d.Open, …}})
//
// The query of a URL is the camera's own and is sent as it is written, but for
//
//	tlspin=sha256:HEX   the certificate that the camera must show, instead of one
//	                    that an authority signed: cameras sign their own
//
// and what every camera takes (see camera). Name and password come from Login, by
// the host of the URL; those in a URL go first. They are sent as the camera asks:
// digest where it offers that, else basic. Over plain HTTP or RTSP a listener on
// the way sees the pictures, and with basic the password.
//
// H.264 is decoded by the program ffmpeg, a process of its own, where it is
// installed: there is no Go decoder that is kept, and a decoder in C on bytes from
// the network belongs in no process that opens doors. Without it an H.264 camera
// says what is missing; Motion JPEG needs nothing.
//
// Sound, audio back channels and movable cameras are not here.
package ipcam

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/cypherface/edge/camera"
)

// Limits of time.
const (
	dialLimit   = 5 * time.Second
	answerLimit = 10 * time.Second
	openLimit   = 15 * time.Second
	stall       = 5 * time.Second // without a frame before the camera counts as hung
)

var (
	errStalled = errors.New("no frame for 5 seconds")
	errLogin   = errors.New("the camera refuses the name and password")
	errPin     = errors.New("the certificate is not the pinned one")
	errPinForm = errors.New("tlspin is not sha256: and 64 hex digits")
	errStream  = errors.New("no stream of pictures")
	errEnded   = errors.New("the camera ended the stream")
)

// Driver opens cameras on the network. The zero value has no logins.
type Driver struct {
	// Login gives the name and password for a camera by its host, with the port if
	// the URL has one; ok is false where there are none. May be nil.
	Login func(ctx context.Context, host string) (user, password string, ok bool, err error)
}

// Open implements camera.Driver.
func (d Driver) Open(ctx context.Context, u *url.URL) (camera.Source, error) {
	own, u, err := camera.Split(u, "tlspin")
	if err != nil {
		return nil, err
	}
	t := target{url: u, name: camera.Redact(u)}
	if t.tls, err = pinned(own.Get("tlspin")); err != nil {
		return nil, &camera.Fault{Op: "parse", Subject: t.name, Err: fmt.Errorf("%w: %w", camera.ErrURL, err)}
	}
	if u.User == nil && d.Login != nil {
		user, password, ok, err := d.Login(ctx, u.Host)
		if err != nil {
			return nil, &camera.Fault{Op: "open", Subject: t.name, Err: err}
		}
		if ok {
			withLogin := *u
			withLogin.User = url.UserPassword(user, password)
			t.url = &withLogin
		}
	}
	open := t.openHTTP
	if strings.HasPrefix(u.Scheme, "rtsp") {
		open = t.openRTSP
	}
	src, err := open(ctx)
	if err != nil {
		return nil, t.fault("open", err)
	}
	return src, nil
}

// target is a camera and how to speak to it.
type target struct {
	url  *url.URL // with credentials: never told
	name string   // without
	tls  *tls.Config
}

func (t target) fault(op string, err error) error {
	// What net/http says repeats the URL.
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return &camera.Fault{Op: op, Subject: t.name, Err: err, Hint: t.hint(err)}
}

// hint says what the operator can do about an error.
func (t target) hint(err error) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, hostname := errors.AsType[x509.HostnameError](err)
	_, dns := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, errLogin):
		return "cypherface camera login " + t.url.Host + " stores others"
	case unknown || hostname:
		return "add tlspin=" + pinOf(err) + " to its URL once you have checked that the camera has this certificate"
	case errors.Is(err, errPin):
		return "the camera has another certificate than it had: renewed, or not the camera"
	case errors.Is(err, errNoDecoder):
		return "apt install ffmpeg, or set the camera's stream to MJPEG"
	case errors.Is(err, errStream):
		return "is that the path of its pictures? the camera's manual has it"
	case errors.Is(err, syscall.ECONNREFUSED), dns, errors.Is(err, syscall.EHOSTUNREACH):
		return "is the camera on, and is this its address? it is tried again"
	}
	return "it is opened again"
}

// pinned is the TLS configuration that takes the certificate with a hash, or with
// "" one that an authority of the system signed.
func pinned(pin string) (*tls.Config, error) {
	if pin == "" {
		return &tls.Config{MinVersion: tls.VersionTLS12}, nil
	}
	hexed, ok := strings.CutPrefix(pin, "sha256:")
	want, err := hex.DecodeString(hexed)
	if !ok || err != nil || len(want) != sha256.Size {
		return nil, errPinForm
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // VerifyConnection does
		VerifyConnection: func(s tls.ConnectionState) error {
			if got := sha256.Sum256(s.PeerCertificates[0].Raw); string(got[:]) != string(want) {
				return errPin
			}
			return nil
		},
	}, nil
}

// pinOf is the pin of the certificate that an error of verification has.
func pinOf(err error) string {
	e, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(e.UnverifiedCertificates) == 0 {
		return "sha256:…"
	}
	sum := sha256.Sum256(e.UnverifiedCertificates[0].Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
