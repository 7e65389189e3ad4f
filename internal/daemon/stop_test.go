package daemon

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowRegister begins a request whose body ends when finish is called. It
// returns once the handler reads the body, which the client holds back until
// then.
func slowRegister(t *testing.T, url, apiKey string) (finish func(), status chan int) {
	t.Helper()
	body, writer := io.Pipe()
	req, err := http.NewRequest("POST", url+"/register/", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	status = make(chan int, 1)
	go func() {
		resp, err := client.Do(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	if _, err := writer.Write([]byte(`{"firstname":"Ada","lastname":"Lovelace",`)); err != nil {
		t.Fatal(err)
	}
	return func() {
		_, _ = writer.Write([]byte(`"email":"ada@example.org"}`)) // the other end tells
		writer.Close()
	}, status
}

func TestRequestsUnderWayAreFinished(t *testing.T) {
	d := start(t, shortDir(t), "--camera", "none:")
	finish, status := slowRegister(t, d.url, d.boot.APIKey)
	d.stop()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(d.log.String(), "msg=stopping"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not stop")
		}
	}
	finish()
	if got := <-status; got != 201 {
		t.Errorf("status %d", got)
	}
	if err := d.end(); err != nil {
		t.Error(err)
	}
}

func TestTheDrainHasAnEnd(t *testing.T) {
	d := start(t, shortDir(t), "--camera", "none:", "--drain", "50ms")
	finish, status := slowRegister(t, d.url, d.boot.APIKey)
	if err := d.end(); err != nil {
		t.Error(err)
	}
	finish()
	if got := <-status; got != 0 {
		t.Errorf("status %d", got)
	}
}

func TestASecondSignalDoesNotWait(t *testing.T) {
	needNetworks(t)
	dir := shortDir(t)
	first := start(t, dir, "--camera", "none:") // makes the key
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	cmd, url := startChild(t, "--data", dir, "--camera", "none:", "--drain", "5m")
	finish, status := slowRegister(t, url, first.boot.APIKey)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
			if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
			finish()
			if got := <-status; got != 0 {
				t.Errorf("status %d", got)
			}
			// What a killed box leaves behind does not keep the next from starting.
			if err := start(t, filepath.Clean(dir), "--camera", "none:").end(); err != nil {
				t.Error(err)
			}
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}
