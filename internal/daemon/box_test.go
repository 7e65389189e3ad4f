package daemon

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/models"
)

func TestRatesInALine(t *testing.T) {
	measured := models.Calibration{ImpostorPairs: 10_000_000, MatePairs: 1000, Origin: "test", Points: []models.Point{
		{Score: 0.1, FMR: 1e-1, FNMR: 0.001}, {Score: 0.3, FMR: 1e-3, FNMR: 0.01}, {Score: 0.5, FMR: 1e-5, FNMR: 0.05}, {Score: 0.6, FMR: 1e-6, FNMR: 0.1},
	}}
	rough := models.Calibration{ImpostorPairs: 1000, MatePairs: 10, Origin: "test", Points: []models.Point{{Score: 0.1, FMR: 0.1}, {Score: 0.5}}}
	for _, tt := range []struct {
		name   string
		c      models.Calibration
		people int
		says   []string
		silent []string
	}{
		{"not measured", models.Calibration{}, 5, []string{"not measured"}, []string{"1:1"}},
		{"nobody enrolled", measured, 0, []string{"1:1 FMR 1e-4, FNMR"}, []string{"1:N"}},
		{"some people", measured, 20, []string{"1:1 FMR 1e-4", "1:N among 20 FPIR"}, []string{"guaranteed"}},
		{"too many people", measured, 1_000_000, []string{"1:N among 1000000 not to be guaranteed"}, nil},
		{"few pairs behind it", rough, 20, []string{"1:1 no better than FMR 0.003", "not to be guaranteed"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := rates(&tt.c, tt.people)
			for _, s := range tt.says {
				if !strings.Contains(got, s) {
					t.Errorf("%q does not say %q", got, s)
				}
			}
			for _, s := range tt.silent {
				if strings.Contains(got, s) {
					t.Errorf("%q says %q", got, s)
				}
			}
		})
	}
}

func TestAFrameThatIsNeverWorkedOffIsNoticed(t *testing.T) {
	var e eyes
	for since, alive := range map[int64]bool{
		0:                     true, // it waits for a frame
		time.Now().UnixNano(): true,
		time.Now().Add(-2 * frameLimit).UnixNano(): false,
	} {
		e.busy.Store(since)
		if err := e.alive(); (err == nil) != alive {
			t.Errorf("busy since %d: %v", since, err)
		}
	}
}

func TestTheWatchdogIsSilentWhenTheBoxIsStuck(t *testing.T) {
	socket := filepath.Join(filepath.Dir(shortDir(t)), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "30000")
	t.Setenv("WATCHDOG_PID", "") // empty counts as this process
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan bool)
	ended := make(chan error, 1)
	go func() {
		ended <- feedWatchdog(ctx, discard(), func(context.Context) error {
			select {
			case asked <- true:
			case <-ctx.Done():
			}
			return errors.New("stuck")
		})
	}()
	for range 3 {
		<-asked
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	_ = l.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // silence has to be waited for
	if n, err := l.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes for systemd", n)
	}
}

func TestAListenerThatDiesEndsTheBox(t *testing.T) {
	l, err := listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- serveUntil(t.Context(), &http.Server{}, l, time.Second) }()
	l.Close()
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "serve 127.0.0.1") {
		t.Errorf("got %v", err)
	}
}

func TestAddressAsTheBoxReachesIt(t *testing.T) {
	for listenOn, want := range map[string]string{"127.0.0.1:0": "http://127.0.0.1:", "0.0.0.0:0": "http://127.0.0.1:"} {
		l, err := listen(t.Context(), listenOn)
		if err != nil {
			t.Fatal(err)
		}
		if got := address(l, "http"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", listenOn, got)
		}
		l.Close()
	}
}

func TestTheURLInTheBootstrapFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), bootstrapName)
	if err := followURL(path, "http://new"); err != nil {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file that was removed came back")
	}
	if err := writeJSON(path, bootstrapFile{URL: "http://old", APIKey: "k"}); err != nil {
		t.Fatal(err)
	}
	if err := followURL(path, "http://new"); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(raw), `"http://new"`) || !strings.Contains(string(raw), `"k"`) {
		t.Errorf("%s, %v", raw, err)
	}
	write(t, path, "{")
	if err := followURL(path, "http://new"); err == nil || !strings.Contains(err.Error(), "may be removed") {
		t.Errorf("a damaged file: %v", err)
	}
}
