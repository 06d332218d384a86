// Package process runs what is tested as a child process, and ends it for certain.
package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Settings say what to start.
type Settings struct {
	// Command is the program and its arguments. {config} stands for the expanded configuration file, {dir} for the folder it is in.
	Command []string
	// Config is the configuration file. Every ${env:NAME} of a name in Env is replaced before the start, so that the file in the
	// run's folder is what was tested, word for word.
	Config string
	// Env is added to this process's environment.
	Env map[string]string
	// Dir is the run's folder: configuration and log go there.
	Dir string
	// Ready is the address that accepts connections once the process is ready.
	Ready string
	// CPU pins the process to a processor. Negative: not pinned.
	CPU int
}

// Process is a child that runs, or ran.
type Process struct {
	settings Settings
	args     []string
	log      *os.File
	// patience is how long the end may take that SIGKILL brings.
	patience time.Duration
	// reloadTimeout is what a reload may take.
	reloadTimeout time.Duration

	mu     sync.Mutex // guards what is below
	cmd    *exec.Cmd
	exited chan struct{} // closed when the current child has ended; err and spent are set before
	err    error
	spent  time.Duration // CPU time of the children that have ended
}

// startTimeout is how long a child may take until it accepts connections.
const startTimeout = 30 * time.Second

// killTimeout is far beyond what the end of a killed process takes. One that hangs in the kernel, or that somebody traces, outlives it, and
// the run goes on without it.
const killTimeout = 10 * time.Second

// Start expands the configuration, starts the process and waits until it is ready.
func Start(settings Settings) (*Process, error) {
	if err := os.MkdirAll(settings.Dir, 0o755); err != nil {
		return nil, err
	}
	config, err := expand(settings)
	if err != nil {
		return nil, err
	}
	p := &Process{settings: settings, patience: killTimeout, reloadTimeout: startTimeout}
	replace := strings.NewReplacer("{config}", config, "{dir}", settings.Dir)
	if settings.CPU >= 0 {
		// Go cannot pin a child before it starts its threads; taskset does.
		p.args = []string{"taskset", "-c", fmt.Sprint(settings.CPU)}
	}
	for _, arg := range settings.Command {
		p.args = append(p.args, replace.Replace(arg))
	}
	if p.log, err = os.Create(filepath.Join(settings.Dir, "output.log")); err != nil {
		return nil, err
	}
	if err := p.Restart(); err != nil {
		return nil, errors.Join(err, p.log.Close())
	}
	return p, nil
}

func expand(settings Settings) (string, error) {
	content, err := os.ReadFile(settings.Config)
	if err != nil {
		return "", fmt.Errorf("read the configuration: %w", err)
	}
	pairs := make([]string, 0, 2*len(settings.Env))
	for name, value := range settings.Env {
		pairs = append(pairs, "${env:"+name+"}", value)
	}
	path := filepath.Join(settings.Dir, filepath.Base(settings.Config))
	return path, os.WriteFile(path, []byte(strings.NewReplacer(pairs...).Replace(string(content))), 0o600)
}

// Restart starts the process again after it ended, and waits until it is ready.
func (p *Process) Restart() error {
	if err := p.Launch(); err != nil {
		return err
	}
	return p.WaitReady()
}

// Launch starts the process again after it ended, and does not wait until it is ready.
func (p *Process) Launch() error {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Env = os.Environ()
	for name, value := range p.settings.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	// A group of its own: Ctrl-C reaches this process only, which then ends its children in order. Should it be killed, so are they.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		// Pdeathsig follows the thread that started the child: it must not end before the child does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.spent += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		p.mu.Unlock()
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.args[0], err)
	}
	p.mu.Lock()
	p.cmd, p.exited = cmd, exited
	p.mu.Unlock()
	return nil
}

// WaitReady waits until the process accepts connections. One that does not is killed.
func (p *Process) WaitReady() error {
	if err := p.waitReady(p.Exited()); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

func (p *Process) waitReady(exited <-chan struct{}) error {
	deadline := time.After(startTimeout)
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		if c, err := net.Dial("tcp", p.settings.Ready); err == nil {
			return c.Close()
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended at start; its last words:\n%s", p.args[0], p.lastWords())
		case <-deadline:
			return fmt.Errorf("%s did not listen on %s within %s; its last words:\n%s", p.args[0], p.settings.Ready, startTimeout, p.lastWords())
		case <-retry.C:
		}
	}
}

// lastWords is the end of the log.
func (p *Process) lastWords() string {
	content, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-2000):])
}

// PID is the number of the child that runs or ran last.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Spent is the CPU time, user and system, of the children that have ended: /proc knows them no more.
func (p *Process) Spent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spent
}

// Kill ends the process and its group at once, as a crash would, and waits for its end, though not for ever.
func (p *Process) Kill() error {
	p.mu.Lock()
	pid, exited := p.cmd.Process.Pid, p.exited
	p.mu.Unlock()
	select {
	case <-exited:
		return nil // the number may belong to another process by now
	default:
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-exited:
		return nil
	case <-time.After(p.patience):
		return fmt.Errorf("process %d did not end within %s of SIGKILL", pid, p.patience)
	}
}

// Terminate asks the process to end. After timeout it is killed, which is an error.
func (p *Process) Terminate(timeout time.Duration) error {
	p.mu.Lock()
	pid, exited := p.cmd.Process.Pid, p.exited
	p.mu.Unlock()
	select {
	case <-exited:
		return p.exitError()
	default:
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-exited:
		return p.exitError()
	case <-time.After(timeout):
		return errors.Join(fmt.Errorf("%s did not end within %s of SIGTERM", p.args[0], timeout), p.Kill())
	}
}

func (p *Process) exitError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("%s: %w; its last words:\n%s", p.args[0], p.err, p.lastWords())
	}
	return nil
}

// Running tells whether the child lives.
func (p *Process) Running() bool {
	select {
	case <-p.Exited():
		return false
	default:
		return true
	}
}

// Exited is closed when the child that runs now, or ran last, has ended. A later child has another channel.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Close gives the log file back. The process must have ended.
func (p *Process) Close() error { return p.log.Close() }
