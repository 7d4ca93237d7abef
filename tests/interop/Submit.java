import java.io.FileInputStream;
import java.util.Properties;
import javax.mail.Message;
import javax.mail.Session;
import javax.mail.Transport;
import javax.mail.internet.InternetAddress;
import javax.mail.internet.MimeMessage;

/** Sends a file as it is, by JavaMail: host, port, "tls" or "starttls", sender, recipient, file, login, password. */
public class Submit {
    public static void main(String[] given) throws Exception {
        String protocol = given[2].equals("tls") ? "smtps" : "smtp";
        Properties properties = new Properties();
        properties.put("mail.smtp.starttls.enable", "true");
        properties.put("mail.smtp.starttls.required", "true");
        for (String each : new String[] {"smtp", "smtps"}) {
            properties.put("mail." + each + ".ssl.trust", "*");
            properties.put("mail." + each + ".from", given[3]);
            properties.put("mail." + each + ".localhost", "client.test");
            properties.put("mail." + each + ".allow8bitmime", "true");
            properties.put("mail." + each + ".auth", String.valueOf(given.length > 6));
        }
        Session session = Session.getInstance(properties);
        MimeMessage message = new MimeMessage(session, new FileInputStream(given[5]));
        Transport transport = session.getTransport(protocol);
        if (given.length > 6) transport.connect(given[0], Integer.parseInt(given[1]), given[6], given[7]);
        else transport.connect(given[0], Integer.parseInt(given[1]), null, null);
        transport.sendMessage(message, new InternetAddress[] {new InternetAddress(given[4])});
        transport.close();
    }
}
