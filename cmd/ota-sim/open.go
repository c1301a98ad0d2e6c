package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
)

// open makes the parts, provisions the device and turns it on.
func (s *story) open(ctx context.Context, dir string, built binaries, seed uint64) (err error) {
	s.begin("setting up")
	if s.publisher, err = openPublisher(filepath.Join(dir, "publisher"), s.show, seed, built.apps); err != nil {
		return err
	}
	v1, err := s.publisher.system("1", healthySystem, 8<<20)
	if err != nil {
		return err
	}
	app, err := s.publisher.app("1.0")
	if err != nil {
		return err
	}
	if s.mirror, err = openMirror(s.publisher.repository()); err != nil {
		return err
	}
	if s.broker, err = openBroker(); err != nil {
		return err
	}
	s.show.say("server", "a static file server on %s", s.mirror.url)
	s.show.say("broker", "MQTT on %s", s.broker.url)
	f := factory{built: built, mirror: s.mirror, broker: s.broker, anchor: s.publisher.anchor()}
	if err := s.openBoard(dir, &f); err != nil {
		return err
	}
	healthURL, err := s.board.open()
	if err != nil {
		return err
	}
	if err := f.provision(ctx, v1, app, healthURL); err != nil {
		return err
	}
	s.device = newDevice(s.show, s.board.paths.socket())
	go s.device.follow(ctx)
	return s.board.powerOn()
}

// openBoard makes the board with its power off.
func (s *story) openBoard(dir string, f *factory) error {
	log, err := openTail(filepath.Join(dir, "agent.log"))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, log.file.Close())
	}
	socket, ok := l.(*net.TCPListener)
	if !ok {
		return fmt.Errorf("a TCP listener is a %T", l)
	}
	s.appURL = "http://" + socket.Addr().String() + "/"
	s.board = &board{paths: newPaths(dir), show: s.show, log: log}
	f.board, f.appSocket = s.board, socket
	s.board.agent, s.board.app = f.agentCommand, f.appCommand
	s.appSocket = socket
	return nil
}

// close ends every process and closes every part, whatever became of the story.
func (s *story) close() error {
	var errs []error
	if s.board != nil {
		errs = append(errs, s.board.close(), s.board.log.file.Close(), s.appSocket.Close())
	}
	if s.mirror != nil {
		errs = append(errs, s.mirror.close())
	}
	if s.broker != nil {
		errs = append(errs, s.broker.close())
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.close())
	}
	return errors.Join(errs...)
}
