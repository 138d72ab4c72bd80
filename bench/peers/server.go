// Go: a goroutine for each connection. It sets TCP_NODELAY by itself, and its backlog is the kernel's limit.
package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
)

func serve(connection net.Conn, most int) {
	defer connection.Close()
	buffer := make([]byte, 65536)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		for start := 0; start < count; start += most {
			end := start + most
			if end > count {
				end = count
			}
			if _, err := connection.Write(buffer[start:end]); err != nil {
				return
			}
		}
	}
}

// What `control.ts` does for the servers on Node.
func answer() {
	questions := bufio.NewScanner(os.Stdin)
	for questions.Scan() {
		debug.FreeOSMemory()
		fmt.Println("collected")
	}
	os.Exit(0)
}

func main() {
	// One thread runs Go code, as in all the others.
	runtime.GOMAXPROCS(1)
	most := map[string]int{"echo": 65536, "pieces": 64}[os.Args[1]]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go answer()
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go serve(connection, most)
	}
}
