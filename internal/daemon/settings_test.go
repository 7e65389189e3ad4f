package daemon

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	sample        = "../../systemd/cypherfaced.conf"
	centralSample = "../../systemd/cypherface-central.conf"
)

// The sample file is the manual: it names every setting with its default, and
// works when all its lines count.
func TestTheSampleFileNamesEverySetting(t *testing.T) {
	testSample(t, Box, sample)
}

func TestTheSampleFileOfTheCentral(t *testing.T) {
	testSample(t, Central, centralSample)
}

func testSample(t *testing.T, p Program, sample string) {
	t.Helper()
	raw, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	setting := regexp.MustCompile(`(?m)^#([a-z-]+) = ?(.*)$`)
	shown := map[string]string{}
	for _, m := range setting.FindAllStringSubmatch(string(raw), -1) {
		shown[m[1]] = m[2]
	}
	s := settings{program: p}
	s.flags().VisitAll(func(f *flag.Flag) {
		if value, ok := shown[f.Name]; !ok || value != f.DefValue {
			t.Errorf("%s: the sample says %q (there: %v), the default is %q", f.Name, value, ok, f.DefValue)
		}
		delete(shown, f.Name)
	})
	if len(shown) > 0 {
		t.Errorf("unknown in the sample: %v", shown)
	}
	active := setting.ReplaceAllString(string(raw), "$1 = $2")
	if err := applyLines(s.flags(), strings.NewReader(active), nil); err != nil {
		t.Errorf("with all lines active: %v", err)
	}
	if _, err := parseSettings(p, []string{"--config", sample}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "conf")
	write(t, path, "# a comment\n\n listen = 127.0.0.1:1 \ncamera=none:\ndrain = 3s\nlog-level = debug\n")
	s, err := parseSettings(Box, []string{"--config", path, "--listen", "127.0.0.1:2"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s.sandbox.listen != "127.0.0.1:2" || s.sandbox.camera != "none:" || s.drain != 3*time.Second || s.logLevel.String() != "DEBUG" || s.data != "data" {
		t.Errorf("got %+v", s)
	}
}

func TestSettingsThatCannotWork(t *testing.T) {
	dir := t.TempDir()
	file := func(lines string) []string {
		path := filepath.Join(dir, "conf")
		write(t, path, lines)
		return []string{"--config", path}
	}
	tests := []struct {
		name string
		args func() []string
		says string
	}{
		{"unknown flag", func() []string { return []string{"--lisen", "x"} }, "--help"},
		{"argument", func() []string { return []string{"start"} }, `"start"`},
		{"no port", func() []string { return []string{"--listen", "localhost"} }, "listen"},
		{"no folder", func() []string { return []string{"--data", ""} }, "data"},
		{"camera with a password", func() []string { return []string{"--camera", "rtsp://admin:geheim@10.0.0.1/live"} }, "cypherface camera login 10.0.0.1"},
		{"bad URL", func() []string { return []string{"--url", "box.example"} }, "http://"},
		{"URL with a path", func() []string { return []string{"--url", "http://box/api"} }, "http://"},
		{"production in the clear", func() []string { return []string{"--production-tls", "off"} }, "TLS only"},
		{"a certificate without its key", func() []string { return []string{"--tls", "files:a.pem"} }, "files:CERT,KEY"},
		{"no such certificate", func() []string { return []string{"--tls", "mine"} }, "own"},
		{"a negative rate", func() []string { return []string{"--rate-key", "-1"} }, "rate-key"},
		{"short life", func() []string { return []string{"--upload-life", "1ms"} }, "upload-life"},
		{"negative drain", func() []string { return []string{"--drain", "-1s"} }, "drain"},
		{"missing file", func() []string { return []string{"--config", dir + "/none"} }, "none"},
		{"unknown setting", func() []string { return file("\nlisen = x\n") }, `line 2: there is no setting "lisen"`},
		{"config in the file", func() []string { return file("config = x") }, "no setting"},
		{"no value", func() []string { return file("listen") }, "line 1: want name = value"},
		{"twice", func() []string { return file("drain = 1s\ndrain = 2s") }, "line 2: drain is set twice"},
		{"mistyped", func() []string { return file("drain = long") }, "line 1: drain"},
		{"mistyped, but overruled", func() []string { return file("lisen = x\n") }, "lisen"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseSettings(Box, tt.args(), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
		})
	}
}

func TestHelpGoesOut(t *testing.T) {
	var out bytes.Buffer
	if _, err := parseSettings(Box, []string{"--help"}, &out); !errors.Is(err, errHelp) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"usage: cypherfaced", "-camera", "-config"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, &out)
		}
	}
}

func TestLocalAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "localhost:80": true, "[::1]:80": true, ":80": false, "0.0.0.0:80": false, "192.168.1.5:80": false, "x": false,
	} {
		if local(address) != want {
			t.Errorf("%s: %v", address, !want)
		}
	}
}

func FuzzSettingsFile(f *testing.F) {
	raw, err := os.ReadFile(sample)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(raw), "listen = x", "a=b\nc", "drain = 1s\r\n", "= =", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		var s settings
		_ = applyLines(s.flags(), strings.NewReader(lines), nil) // must not panic
	})
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A setting for a certificate is one of those that there are, or is refused.
func FuzzCertificateSetting(f *testing.F) {
	for _, s := range []string{"auto", "off", "own", "files:a,b", "acme:a.example,b.example", "acme:", "own:", "files:a,b,c", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, setting string) {
		p := place{listen: "127.0.0.1:1", tls: setting}
		kind, err := p.certificate()
		known := map[string]bool{"off": len(kind.args) == 0, "own": len(kind.args) == 0, "files": len(kind.args) == 2, "acme": len(kind.args) > 0}
		if err == nil && !known[kind.word] {
			t.Errorf("%q became %+v", setting, kind)
		}
	})
}

func TestTheSandboxIsPlainOnLoopbackOnly(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:1": "off", "localhost:1": "off", "[::1]:1": "off", "0.0.0.0:1": "own", ":1": "own", "192.0.2.7:1": "own"} {
		p := place{listen: listen, tls: "auto"}
		if kind, err := p.certificate(); err != nil || kind.word != want {
			t.Errorf("%s: %+v, %v, want %s", listen, kind, err, want)
		}
	}
}
